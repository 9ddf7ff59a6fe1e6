"""Which classes a generator draws, by a classifier's word: the plainest sign of dropped modes."""

import numpy as np
from jaxtyping import Array, Float

from gen_jax.errors import InputError


def label_coverage(probabilities: Float[Array | np.ndarray, "N C"]) -> dict[str, int | float]:
    """Counts the labels of generated images (the mode count of Metz et al. 2017, appendix D).

    Args:
      probabilities: [N, C], a classifier's class probabilities of N images; rows sum to 1.

    Returns:
      classes_found: classes that are the most probable one of at least one image, of C.
      mean_top_probability: mean over images of the largest probability, in [1/C, 1]; low where images look
        like no class at all.
      label_entropy: entropy of the frequencies of the most probable labels in nats, in [0, log C].

    Raises:
      InputError: no image, or rows that are not probabilities.
    """
    probabilities = np.asarray(probabilities, np.float64)
    if not len(probabilities):
        raise InputError("label coverage of no images; give class probabilities of at least one")
    # Negated, so that NaN is refused too.
    if not (probabilities.min() >= 0.0 and np.abs(probabilities.sum(axis=1) - 1.0).max() < 1e-3):
        raise InputError("rows are not probabilities; apply softmax to logits")
    counts = np.bincount(probabilities.argmax(axis=1))
    frequencies = counts[counts > 0] / len(probabilities)
    return {
        "classes_found": len(frequencies),
        "mean_top_probability": float(probabilities.max(axis=1).mean()),
        "label_entropy": float(-np.sum(frequencies * np.log(frequencies))),
    }
