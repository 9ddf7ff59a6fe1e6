"""Penalties on the critic's gradient with respect to its input.

A critic is a function images [B, H, W, C] -> logits [B] that closes over its parameters; the penalties can be
differentiated with respect to them. The logit of an image must depend on that image alone: with batch
normalisation in the critic the gradients of different images mix, and no number here means anything.

Weights, gamma / 2 and how often (lazy regularisation) are the caller's. No function raises.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

Critic = Callable[[jax.Array], jax.Array]


def r1(critic: Critic, images: Float[Array, "B H W C"]) -> Float[Array, " B"]:
    """Squared gradient norm at real images (Mescheder et al. 2018, eq. 9 without its gamma / 2).

    Args:
      critic: images -> logits.
      images: real images [B, H, W, C], any range.

    Returns:
      |dD(x_i) / dx_i|^2 per image [B], >= 0, in squared logits per squared unit of the images: written on
      [0, 1] it is four times what the same critic has on [-1, 1].
    """
    return _squared_norm(critic, images)


def r2(critic: Critic, images: Float[Array, "B H W C"]) -> Float[Array, " B"]:
    """Squared gradient norm at generated images (Mescheder et al. 2018, eq. 10 without its gamma / 2).

    Args:
      critic: images -> logits.
      images: generated images [B, H, W, C]; stop their gradient, the generator has no part in this.

    Returns:
      The same quantity as `r1`, [B].
    """
    return _squared_norm(critic, images)


def gradient_penalty(
    critic: Critic,
    real: Float[Array, "B H W C"],
    fake: Float[Array, "B H W C"],
    key: Key[Array, ""],
    rows: Int[Array, " B"] | None = None,
) -> Float[Array, " B"]:
    """(|dD(u)/du| - 1)^2 at u = e x + (1 - e) G(z), e ~ U[0, 1].

    Gulrajani et al. 2017, eq. 3 without its lambda.

    Args:
      critic: images -> logits.
      real: real images [B, H, W, C].
      fake: generated images [B, H, W, C]; row i is mixed with row i of `real`.
      key: a typed key. The coefficient of row i depends on (key, i) only, neither on B nor on the devices.
      rows: which rows of a batch these are, where they are a part of it; None: 0 to B - 1.

    Returns:
      The penalty per pair [B], >= 0; 1 where the gradient vanishes, and the gradient there is finite (zero).
    """
    coefficient = jax.vmap(lambda row: jax.random.uniform(jax.random.fold_in(key, row), dtype=real.dtype))
    e = coefficient(jnp.arange(real.shape[0]) if rows is None else rows)[:, None, None, None]
    # The square root has an infinite slope at 0; 1e-12 moves a norm of 1 by 5e-13.
    norm = jnp.sqrt(_squared_norm(critic, e * real + (1.0 - e) * fake) + 1e-12)
    return (norm - 1.0) ** 2


def _squared_norm(critic, images):
    gradient = jax.grad(lambda x: jnp.sum(critic(x)))(images)
    return jnp.sum(gradient**2, axis=(1, 2, 3))
