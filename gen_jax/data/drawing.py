"""Shapes drawn by their signed distance: negative inside, in pixels, so that 1/2 - distance is how much is covered.

All lengths below are in quarters of a pixel of a canvas of 32x32 (CANVAS quarters); a picture of another side shows the
same, larger or smaller. The distances of disc, box and cross are exact, that of the triangle is exact but beyond its
corners (Quilez, 2D distance functions).
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data.scene import COLOURS, SHAPES

CANVAS = 128
RADII = (16, 24)  # of a small and a large object
BACKGROUND = (32, 32, 32)
PALETTE = np.array(
    [{"red": (224, 48, 48), "green": (48, 176, 64), "blue": (48, 96, 240), "yellow": (240, 208, 48),
      "purple": (160, 64, 208), "white": (240, 240, 240)}[name] for name in COLOURS],
    np.float32,
)  # fmt: skip


def circle(x, y):
    """The unit disc."""
    return jnp.hypot(x, y) - 1.0


def _box(x, y, width, height):
    beyond_x, beyond_y = jnp.abs(x) - width, jnp.abs(y) - height
    outside = jnp.hypot(jnp.maximum(beyond_x, 0.0), jnp.maximum(beyond_y, 0.0))
    return outside + jnp.minimum(jnp.maximum(beyond_x, beyond_y), 0.0)


def square(x, y):
    """A square of about the area of the disc."""
    return _box(x, y, 0.9, 0.9)


def triangle(x, y):
    """From the top at (0, -1) to the base between (-1, 1) and (1, 1); y points down."""
    return jnp.maximum(y - 1.0, (2.0 * jnp.abs(x) - y - 1.0) / np.float32(5**0.5))


def cross(x, y):
    """Two bars of width 0.8, one upright and one lying."""
    return jnp.minimum(_box(x, y, 0.4, 1.0), _box(x, y, 1.0, 0.4))


DISTANCES = {"circle": circle, "square": square, "triangle": triangle, "cross": cross}


def coverage(shape, radius, centre, side: int):
    """How much of each pixel an object covers, in sixteenths.

    A whole number of sixteenths makes the colours exact numbers too: another processor draws the same image.

    Args:
      shape: int [N], numbers in SHAPES.
      radius: [N] quarters; 0: there is no object.
      centre: [N, 2] quarters, x to the right and y down.
      side: of the picture, in pixels.

    Returns:
      float32 [N, side, side] in [0, 1].
    """
    at = (jnp.arange(side, dtype=jnp.float32) + 0.5) * (CANVAS / side)
    size = jnp.maximum(radius, 1).astype(jnp.float32)[:, None, None]
    x = (at[None, None, :] - centre[:, 0, None, None]) / size
    y = (at[None, :, None] - centre[:, 1, None, None]) / size
    distances = [DISTANCES[name](x, y) for name in SHAPES]
    distance = jnp.select([(shape == n)[:, None, None] for n in range(len(SHAPES))], distances) * size * (side / CANVAS)
    covered = jnp.round(16.0 * jnp.clip(0.5 - distance, 0.0, 1.0)) / 16.0
    return jnp.where(radius[:, None, None] > 0, covered, 0.0)


@partial(jax.jit, static_argnames="side")
def draw(shape, colour, radius, centre, side: int):
    """Pictures of scenes, each object over those before it.

    Args:
      shape, colour: int [N, K], numbers in SHAPES and COLOURS, of K objects from back to front.
      radius: [N, K] quarters; 0: there is no such object.
      centre: [N, K, 2] quarters.
      side: of the picture, in pixels.

    Returns:
      uint8 [N, side, side, 3].
    """
    image = jnp.broadcast_to(jnp.array(BACKGROUND, jnp.float32), (shape.shape[0], side, side, 3))
    for k in range(shape.shape[1]):
        covered = coverage(shape[:, k], radius[:, k], centre[:, k], side)[..., None]
        image += covered * (jnp.asarray(PALETTE)[colour[:, k]][:, None, None] - image)
    return jnp.round(image).astype(jnp.uint8)
