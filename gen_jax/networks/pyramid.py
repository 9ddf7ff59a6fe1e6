"""The pyramid of sides that every convolutional network here climbs: how often to halve, up, down."""

import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from gen_jax.errors import InputError

BLOCK = "block"

Shape = tuple[int, int, int]  # height, width, channels


def fits(shape: Shape) -> bool:
    """Whether both sides are a multiple of 4, and at least 8."""
    return all(side % 4 == 0 and side >= 8 for side in shape[:2])


def stages(shape: Shape) -> int:
    """How often both sides are halved: while both are even and above 4 (32: 3, to 4; 28: 2, to 7).

    Raises:
      InputError: a side that is below 8 or no multiple of 4, or channels other than 1 or 3.
    """
    height, width, channels = shape
    if not fits(shape):
        size = height if height == width else f"({height}, {width})"
        raise InputError(f"data.image_size={size}: must be a multiple of 4 and at least 8; resize, say to 32")
    if channels not in (1, 3):
        raise InputError(f"data.channels={channels}: must be 1 (grey) or 3 (RGB)")
    count = 0
    while height % 2 == 0 and width % 2 == 0 and min(height, width) > 4:
        height, width, count = height // 2, width // 2, count + 1
    return count


def base(shape: Shape) -> tuple[int, int]:
    """Height and width at the foot of the pyramid, after all `stages` halvings."""
    halvings = stages(shape)
    return shape[0] >> halvings, shape[1] >> halvings


def up(x: Float[Array, "B H W C"]) -> Float[Array, "B H2 W2 C"]:
    """Nearest-neighbour upsampling by 2."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def down(x: Float[Array, "B H W C"]) -> Float[Array, "B H2 W2 C"]:
    """Mean over blocks of 2 x 2 pixels."""
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def block(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x itself, marked as what stands between two blocks of a network: see `networks.called`."""
    return checkpoint_name(x, BLOCK)
