"""How different the images of one set are from each other: falls to 0 where a generator collapses."""

import numpy as np
from jaxtyping import Array, Num

from gen_jax.errors import InputError


def mean_pairwise_distance(images: Num[Array | np.ndarray, " N *event"]) -> float:
    """Mean Euclidean distance over the N (N - 1) / 2 pairs, in float64; exactly 0 for equal images.

    Args:
      images: [N, ...]; images in [0, 1], or features. Time grows with N^2: a few hundred images are enough.

    Returns:
      A number in the units of the images, not divided by their size.

    Raises:
      InputError: fewer than two images.
    """
    if len(images) < 2:
        raise InputError(f"a pairwise distance needs two images, got {len(images)}; give more")
    flat = np.asarray(images, np.float64).reshape(len(images), -1)
    return float(np.concatenate([np.linalg.norm(flat[i + 1 :] - flat[i], axis=1) for i in range(len(flat))]).mean())
