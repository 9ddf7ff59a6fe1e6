"""Host batches read ahead of the step that needs them."""

import itertools
import os
from collections.abc import Iterator

import numpy as np

from gen_jax.data.dataset import Dataset


def prefetch(dataset: Dataset, positions: range, draws: int, rows: np.ndarray) -> Iterator[list[dict]]:
    """Yields the batches of consecutive positions, `draws` at a time, in order.

    There is no iterator state to save: the batch at a position is `dataset.batch(position, rows)`, and
    an iterator that starts at a position yields what an uninterrupted one would yield there. A set that
    is not resident is read by Grain's threads, some batches ahead.

    Args:
      positions: of global batches; for steps [a, b), range(a * draws, b * draws).
      draws: batches per step.
      rows: int [n], the rows of each global batch that this process reads.

    Raises:
      ValueError: if the positions do not fill whole steps.
      InputError: while iterating, at an image that cannot be decoded.
    """
    if len(positions) % draws:
        raise ValueError(f"{len(positions)} positions are no whole number of steps of {draws} batches")
    if dataset.resident is None:
        return _grouped(_read_ahead(dataset, positions, rows), draws)
    return _grouped((dataset.batch(position, rows) for position in positions), draws)


def _grouped(batches: Iterator[dict], draws: int) -> Iterator[list[dict]]:
    while group := list(itertools.islice(batches, draws)):
        yield group


def _read_ahead(dataset: Dataset, positions: range, rows: np.ndarray) -> Iterator[dict]:
    if not positions:
        return iter(())
    import grain  # here, since it takes two seconds

    threads = min(4, os.cpu_count() or 1)  # each batch is decoded by many threads already
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    batches = grain.MapDataset.source(positions).map(lambda position: dataset.batch(position, rows))
    return iter(batches.to_iter_dataset(options))
