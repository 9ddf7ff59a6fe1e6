"""The kernel distance of two sets of features: unbiased, so it needs no equal numbers of images.

It is a KID only with the features of the Inception network that the paper used.
"""

import numpy as np
from jaxtyping import Array, Float

from gen_jax.errors import InputError
from gen_jax.metrics import checks


def kernel_distance(
    real: Float[Array | np.ndarray, "N d"],
    fake: Float[Array | np.ndarray, "M d"],
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Squared maximum mean discrepancy under a cubic kernel (Binkowski et al. 2018, section 4), in float64.

        k(x, y) = (x . y / d + 1)^3
        mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)

    is the unbiased estimate of one subset (Gretton et al. 2012, eq. 3): it may be negative, and it is 0 on
    average where the distributions are equal.

    Args:
      real: [N, d].
      fake: [M, d]; swapping the sets changes which rows are drawn, and otherwise nothing.
      subsets: how many pairs of subsets are drawn.
      subset_size: rows in each, drawn without replacement.
      seed: of the draws.

    Returns:
      Mean over the subsets, and their standard deviation (divided by `subsets`). Subsets overlap, so this is
      no standard error of the mean.

    Raises:
      InputError: a subset larger than a set or smaller than two, no subsets, features that are not finite or
        of two widths.
    """
    real, fake = checks.feature_sets(real, fake)
    if subsets < 1:
        raise InputError(f"subsets={subsets}; draw at least one")
    if not 2 <= subset_size <= min(len(real), len(fake)):
        raise InputError(
            f"subset_size={subset_size} with {len(real)} real and {len(fake)} fake rows; it must be at least 2"
            " and at most the smaller number"
        )
    generator = np.random.default_rng(seed)

    def draw(features):
        return features[generator.choice(len(features), subset_size, replace=False)].astype(np.float64)

    distances = [_unbiased(draw(real), draw(fake)) for _ in range(subsets)]
    return float(np.mean(distances)), float(np.std(distances))


def _unbiased(x, y):
    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1.0) ** 3

    def off_diagonal_mean(k):
        return (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))

    return off_diagonal_mean(kernel(x, x)) + off_diagonal_mean(kernel(y, y)) - 2.0 * kernel(x, y).mean()
