"""The Frechet distance of two sets of features, in float64 NumPy.

It is an FID only with the features of the Inception network that the paper used; otherwise it is named
after its extractor. It is biased upwards and falls with the number of images: compare equal numbers only.
"""

import numpy as np
from jaxtyping import Array, Float

from gen_jax.errors import InputError


def moments(
    features: Float[Array | np.ndarray, "N d"],
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:
    """Mean [d] and unbiased covariance [d, d] of features [N, d], in float64.

    Raises:
      InputError: fewer than two rows, or a feature that is not finite.
    """
    features = np.asarray(features, np.float64)
    if len(features) < 2:
        raise InputError(f"a covariance needs two rows of features, got {len(features)}; use more images")
    if not np.isfinite(features).all():
        raise InputError("features hold NaN or infinity; check the images and the extractor")
    return features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))


def frechet_distance(
    mean1: Float[np.ndarray, " d"],
    cov1: Float[np.ndarray, "d d"],
    mean2: Float[np.ndarray, " d"],
    cov2: Float[np.ndarray, "d d"],
) -> float:
    """Squared Wasserstein-2 distance of two normals (Dowson & Landau 1982; Heusel et al. 2017, eq. 6).

        |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))

    The trace of the root is the sum of the roots of the eigenvalues of C1^(1/2) C2 C1^(1/2), a symmetric
    positive semi-definite matrix: real numbers throughout, for rank-deficient covariances too.

    Args:
      mean1: [d], as `moments` returns it.
      cov1: [d, d].
      mean2: [d].
      cov2: [d, d].

    Returns:
      A number >= 0 in squared units of the features; rounding below 0 is clipped.
    """
    values, vectors = np.linalg.eigh(np.asarray(cov1, np.float64))
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    squares = np.linalg.eigvalsh(root @ np.asarray(cov2, np.float64) @ root)
    trace = np.trace(cov1) + np.trace(cov2) - 2.0 * np.sum(np.sqrt(np.maximum(squares, 0.0)))
    difference = np.asarray(mean1, np.float64) - np.asarray(mean2, np.float64)
    return float(max(difference @ difference + trace, 0.0))
