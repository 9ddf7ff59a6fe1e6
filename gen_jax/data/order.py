"""The endless order: which image stands where, as a pure function of (seed, position)."""

import functools
from collections.abc import Callable

import numpy as np


def permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    """int32 [size], the order of one epoch.

    It sorts raw Philox words, and does not call `Generator.permutation`: NumPy promises that the words
    stay the same between versions, and promises nothing about what it makes of them.
    """
    words = np.random.Philox(key=[seed, epoch]).random_raw(size)
    return np.argsort(words, kind="stable").astype(np.int32)


def make(*, seed: int, size: int, batch_size: int) -> Callable[[int, np.ndarray], np.ndarray]:
    """Returns indices(position, rows) -> int32 [len(rows)], which images stand there.

    Row r of the global batch at position p is example number n = p * batch_size + r. Its epoch is
    n // size, and every epoch holds every image once; a batch may straddle epochs, even several.
    """

    @functools.lru_cache(maxsize=4)
    def order(epoch: int) -> np.ndarray:
        return permutation(seed, epoch, size)

    def indices(position: int, rows: np.ndarray) -> np.ndarray:
        epochs, places = np.divmod(position * batch_size + np.asarray(rows, np.int64), size)
        chosen = np.empty(len(epochs), np.int32)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            chosen[here] = order(int(epoch))[places[here]]
        return chosen

    return indices
