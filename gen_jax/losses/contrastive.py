"""Which of the images of a batch belongs to which text, and the other way round. Unit vectors enter. Nothing raises."""

import jax
import jax.numpy as jnp
from jax.nn import log_softmax
from jaxtyping import Array, Float, PyTree
from jaxtyping import ArrayLike as Like


def contrastive(
    images: Float[Like, "B D"], texts: Float[Like, "B D"], scale: Float[Like, ""], said: PyTree
) -> Float[Array, " B"]:
    """The symmetric cross-entropy of CLIP (Radford et al. 2021, figure 3), texts that say the same being one answer.

        s_ij = scale * <image_i, text_j>,    q_ij = [text_i = text_j] / (how often text_i stands in the batch)

        1/2 (-sum_j q_ij log softmax_j s_ij) + 1/2 (-sum_j q_ij log softmax_j s_ji)

    Where every text is another, q is the identity and this is CLIP's loss. With a text that stands there twice CLIP
    pushes away what is right; here all images of one text are its own (Khosla et al. 2020, eq. 2, L_out).

    It is a loss of the whole batch: the value of a row depends on all rows.

    Args:
      images, texts: unit vectors [B, D], row i of one belongs to row i of the other.
      scale: one over the temperature.
      said: what the texts say, a pytree of arrays [B, ...] that are compared exactly.

    Returns:
      [B] nats, >= 0. log B where all vectors are equal, whatever is said; at least log n where n texts are equal.
    """
    alike = jnp.ones((len(images), len(images)), bool)
    for values in jax.tree.leaves(said):
        flat = values.reshape(len(values), -1)
        alike &= (flat[:, None] == flat[None]).all(-1)
    right = alike.astype(images.dtype) / alike.sum(1)
    similarity = scale * images @ texts.T
    from_image = -(right * log_softmax(similarity)).sum(1)
    from_text = -(right * log_softmax(similarity.T)).sum(1)
    return 0.5 * (from_image + from_text)
