"""How different the images of one set are from each other: falls to its least where a generator collapses."""

import numpy as np
from jaxtyping import Array, Float, Num

from gen_jax.errors import InputError
from gen_jax.metrics import checks


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


def vendi_score(features: Float[Array | np.ndarray, "N d"]) -> float:
    """The effective number of different images (Friedman & Dieng 2023, eq. 2), in float64.

        exp(-sum_i l_i log l_i),  l the eigenvalues of K / N,  K_ij the cosine of rows i and j

    K / N and the d x d matrix of the same rows share their eigenvalues but for zeros, so the smaller of the
    two is decomposed. No row is subtracted: features with a large common part look alike, so centre them by
    the mean of the real ones to tell them apart.

    Args:
      features: [N, d].

    Returns:
      A number in [1, min(N, d)]: 1 where all rows point one way, N where they are orthogonal.

    Raises:
      InputError: fewer than two rows, a row of zeros, which has no direction, or a feature that is not finite.
    """
    x = checks.features(features, "features", least=2).astype(np.float64)
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    if lengths.min() == 0.0:
        raise InputError("a row of features is all zeros and has no cosine; check the images and the extractor")
    x /= lengths
    values = np.linalg.eigvalsh((x.T @ x if len(x) > x.shape[1] else x @ x.T) / len(x))
    values = values[values > 0.0]
    return float(np.exp(-np.sum(values * np.log(values))))
