"""The Inception score: sharp and varied by a classifier's word, without a look at the real images."""

import numpy as np
from jaxtyping import Array, Float

from gen_jax.errors import InputError


def inception_score(
    probabilities: Float[Array | np.ndarray, "N C"], *, splits: int = 10, seed: int = 0
) -> tuple[float, float]:
    """exp of the mean over images of KL(p(y | x) || p(y)) (Salimans et al. 2016, section 4), in float64.

    p(y) is the mean of p(y | x) over the images of a split. Rows are shuffled by `seed` before they are split,
    since images often come sorted by class; splits differ in size by one row at most. It carries the paper's
    name only with the paper's network, and it depends on `splits`: compare equal ones only.

    Args:
      probabilities: [N, C], a classifier's class probabilities of N images; rows sum to 1.
      splits: parts that are scored apart; 1 scores all rows at once, and the order does not matter.
      seed: of the shuffle.

    Returns:
      Mean over the splits, in [1, C], and their standard deviation (divided by `splits`; 0 for one split).

    Raises:
      InputError: no row, more splits than rows, or rows that are not probabilities.
    """
    import scipy.special

    probabilities = np.asarray(probabilities, np.float64)
    if not 1 <= splits <= len(probabilities):
        raise InputError(f"splits={splits} of {len(probabilities)} rows; give at least one row a split")
    # Negated, so that NaN is refused too.
    if not (probabilities.min() >= 0.0 and np.abs(probabilities.sum(axis=1) - 1.0).max() < 1e-3):
        raise InputError("rows are not probabilities; apply softmax to logits")
    shuffled = np.random.default_rng(seed).permutation(probabilities)
    parts = np.array_split(shuffled, splits)
    scores = [np.exp(scipy.special.rel_entr(part, part.mean(axis=0)).sum(axis=1).mean()) for part in parts]
    return float(np.mean(scores)), float(np.std(scores))
