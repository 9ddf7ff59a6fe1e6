"""Dataset: images as a pure function of the position in an endless, seeded order.

The global batch at a position depends on (data.seed, position) alone; a process only chooses which
rows of it to read. So saving `step` saves the iterator, and any number of processes reads the
same order.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np


class Spec(NamedTuple):
    """What a model must know of its data."""

    shape: tuple[int, int, int]  # height, width, channels
    classes: int  # 0: no labels
    size: int  # images in this split
    binary: bool = False  # every pixel is 0 or 255 after `transform`
    class_names: tuple[str, ...] = ()


class Dataset(NamedTuple):
    """One split of a set of images.

    A host batch is a dict of NumPy arrays with leading axis rows: `image` uint8 [B, H, W, C],
    `index` int32 [B] (identity in the set), `row` int32 [B] (position in the global batch), and
    `condition` {"label": int32 [B]} where the set has labels.
    """

    name: str
    split: str
    spec: Spec
    # () -> hex sha256 of what the set holds: decoded pixels and labels, or files and sizes if not resident.
    fingerprint: Callable[[], str]
    # () -> float32 [H, W, C] in [0, 1], the mean image (of at most 10,000 evenly spaced images).
    mean: Callable[[], np.ndarray]
    # (position, rows) -> int32 [len(rows)], which images stand there.
    indices: Callable[[int, np.ndarray], np.ndarray]
    # (indices) -> {"image": ..., "condition": {"label": ...}}.
    gather: Callable[[np.ndarray], Mapping]
    # All images, decoded, {"image": uint8 [N, H, W, C], "condition": {...}}; None where too large.
    resident: Mapping | None
    # (batch, key) -> batch: random choices (flip, binarisation), keyed by row; runs under jit.
    transform: Callable[[Mapping, jax.Array], Mapping]

    def batch(self, position: int, rows: np.ndarray) -> dict:
        """The given rows of the global batch at `position`, on the host, before `transform`."""
        index = self.indices(position, rows)
        return {**self.gather(index), "index": index, "row": np.asarray(rows, np.int32)}

    def sequential(self, batch_size: int) -> Iterator[dict]:
        """Every image once, in order, in batches of one shape; `mask` [B] is 0 on padding."""
        for start in range(0, self.spec.size, batch_size):
            index = np.arange(start, start + batch_size, dtype=np.int32)
            mask = (index < self.spec.size).astype(np.float32)
            index = np.minimum(index, self.spec.size - 1)
            row = np.arange(batch_size, dtype=np.int32)
            yield {**self.gather(index), "index": index, "row": row, "mask": mask}
