"""The Frechet distance of two sets of features, in float64 NumPy.

It is an FID only with the features of the Inception network that the paper used; otherwise it is named
after its extractor. It is biased upwards and falls with the number of images: compare equal numbers only.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from gen_jax.errors import InputError
from gen_jax.metrics import checks


class Moments(NamedTuple):
    """What is kept of features seen so far, in float64, whatever their number."""

    count: int
    mean: Float[np.ndarray, " d"]
    scatter: Float[np.ndarray, "d d"]  # sum over rows of (x - mean) (x - mean)^T


def empty_moments(d: int) -> Moments:
    """The Moments of no rows of `d` features."""
    return Moments(0, np.zeros(d), np.zeros((d, d)))


def update_moments(m: Moments, features: Float[Array | np.ndarray, "n d"]) -> Moments:
    """`m` with the rows of `features` [n, d] added (Chan, Golub & LeVeque 1979, eq. 2.1).

        mean + delta n / (count + n),  scatter + S + delta delta^T count n / (count + n)

    with S the scatter of the new rows about their own mean and delta its distance from the old one. Nothing is
    subtracted from a sum of squares, so a mean far from 0 costs no digits.

    Raises:
      InputError: no row, another width than that of `m`, or a feature that is not finite.
    """
    x = checks.features(features, "features").astype(np.float64)
    if x.shape[1] != len(m.mean):
        raise InputError(f"features have {x.shape[1]} columns, the moments {len(m.mean)}; use one extractor")
    mean = x.mean(axis=0)
    centred, delta = x - mean, mean - m.mean
    total = m.count + len(x)
    scatter = centred.T @ centred + np.outer(delta, delta) * (m.count * len(x) / total)
    return Moments(total, m.mean + delta * (len(x) / total), m.scatter + scatter)


def mean_and_covariance(m: Moments) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, "d d"]]:
    """Mean [d] and unbiased covariance [d, d], as `moments` of all rows at once gives them.

    Raises:
      InputError: fewer than two rows were seen.
    """
    if m.count < 2:
        raise InputError(f"a covariance needs two rows of features, got {m.count}; use more images")
    return m.mean, m.scatter / (m.count - 1)


def check_enough(n: int, d: int) -> None:
    """Refuses a Frechet distance of `n` images on `d` features where the covariance would be singular.

    Raises:
      InputError: n <= d.
    """
    if n <= d:
        raise InputError(
            f"{n} images have a singular covariance of {d} features; use at least {d + 1} images, or an extractor"
            f" of fewer than {n} features"
        )


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


def dead_features(features: Float[Array | np.ndarray, "N d"]) -> int:
    """How many of the d features have one value in all N rows: no distance sees them.

    Raises:
      InputError: no row, or a feature that is not finite.
    """
    return int(np.sum(np.ptp(checks.features(features, "features"), axis=0) == 0.0))


def frechet_distance(real: Float[Array | np.ndarray, "N d"], fake: Float[Array | np.ndarray, "M d"]) -> float:
    """The Frechet distance of two sets of features, by their moments (see `frechet_from_moments`).

    Args:
      real: [N, d], N >= 2.
      fake: [M, d], M >= 2; swapping the sets changes nothing.

    Raises:
      InputError: fewer than two rows, features that are not finite or of two widths.
    """
    real, fake = checks.feature_sets(real, fake, least=2)
    return frechet_from_moments(*moments(real), *moments(fake))


def frechet_from_moments(
    mean1: Float[np.ndarray, " d"],
    cov1: Float[np.ndarray, "d d"],
    mean2: Float[np.ndarray, " d"],
    cov2: Float[np.ndarray, "d d"],
) -> float:
    """Squared Wasserstein-2 distance of two normals (Dowson & Landau 1982; Heusel et al. 2017, eq. 6).

        |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))

    With C1 = A A^T and C2 = B B^T the trace of the root is the sum of the singular values of A^T B. So no root is
    taken of a product, whose zero eigenvalues would come out as noise of 1e-16 and their roots as 1e-8: covariances
    may be singular, as those of features that never change are.

    Args:
      mean1: [d], as `moments` returns it.
      cov1: [d, d].
      mean2: [d].
      cov2: [d, d].

    Returns:
      A number >= 0 in squared units of the features; rounding below 0 is clipped.

    Raises:
      InputError: moments of two widths, or not finite.
    """
    if np.shape(cov1) != np.shape(cov2):
        raise InputError(f"covariances are {np.shape(cov1)} and {np.shape(cov2)}; use one extractor for both")
    if not all(np.isfinite(x).all() for x in (mean1, cov1, mean2, cov2)):
        raise InputError("moments hold NaN or infinity; check the images and the extractor")
    roots = np.linalg.svd(_factor(cov1).T @ _factor(cov2), compute_uv=False).sum()
    difference = np.asarray(mean1, np.float64) - np.asarray(mean2, np.float64)
    return float(max(difference @ difference + np.trace(cov1) + np.trace(cov2) - 2.0 * roots, 0.0))


def _factor(covariance: np.ndarray) -> np.ndarray:
    """A [d, d] with A A^T = `covariance`; eigenvalues that are rounding, below d eps times the largest, count as 0."""
    values, vectors = np.linalg.eigh(np.asarray(covariance, np.float64))
    least = len(values) * np.finfo(np.float64).eps * values[-1]
    return vectors * np.sqrt(np.where(values > least, values, 0.0))
