"""The real images that samples are compared with.

A model whose samples are black and white (`Method.binary`) is compared with real images that are binarised as those it
learned from: beside grey ones each of its samples would look wrong, however good.
"""

import hashlib

import numpy as np

from gen_jax import randomness
from gen_jax.data.dataset import Dataset, seen
from gen_jax.method import Method


def beside(method: Method, dataset: Dataset, binarize: str) -> Dataset:
    """A set of real images as they stand beside samples of this method.

    Args:
      binarize: what the run's `data.binarize` says. Where that is drawn at random, each image is drawn once, by its
        index: the set is the same for every run and every seed.
    """
    if not method.binary or binarize == "none":
        return dataset
    key = randomness.stream(0, randomness.EVAL)

    def gather(index: np.ndarray) -> dict:
        batch = dataset.gather(index)
        return {**batch, "image": seen(dataset, {**batch, "index": np.asarray(index)}, key)["image"]}

    identity = lambda: hashlib.sha256(f"{dataset.fingerprint()} {binarize} {dataset.seed}".encode()).hexdigest()
    return dataset._replace(name=f"{dataset.name} ({binarize})", gather=gather, resident=None, fingerprint=identity)
