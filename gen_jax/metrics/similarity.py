"""How alike two images are, pixel by pixel: for pairs (an image and its reconstruction), never for sets."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gen_jax.errors import InputError

Images = Array | np.ndarray


def mean_absolute_error(a: Float[Images, "B H W C"], b: Float[Images, "B H W C"]) -> Float[Array, " B"]:
    """Mean of |a - b| over pixels and channels.

    Args:
      a: images [B, H, W, C] in [0, 1].
      b: images of the same shape; row i is compared with row i of `a`.

    Returns:
      [B] in [0, 1], 0 for equal images.

    Raises:
      InputError: the shapes differ, or the images are integers.
    """
    _check(a, b)
    return jnp.mean(jnp.abs(a - b), axis=(1, 2, 3))


def psnr(a: Float[Images, "B H W C"], b: Float[Images, "B H W C"]) -> Float[Array, " B"]:
    """Peak signal-to-noise ratio, -10 log10 of the mean squared error, for a peak of 1.

    Args:
      a: images [B, H, W, C] in [0, 1].
      b: images of the same shape; row i is compared with row i of `a`.

    Returns:
      [B] decibels, >= 0, infinite for equal images: average the errors, or take a median.

    Raises:
      InputError: the shapes differ, or the images are integers.
    """
    _check(a, b)
    return -10.0 * jnp.log10(jnp.mean((a - b) ** 2, axis=(1, 2, 3)))


def _check(a, b):
    if a.shape != b.shape:
        raise InputError(f"images of shapes {a.shape} and {b.shape} do not pair up; give two of one shape")
    if not (jnp.issubdtype(a.dtype, jnp.floating) and jnp.issubdtype(b.dtype, jnp.floating)):
        raise InputError(f"images are {a.dtype} and {b.dtype}; divide by 255 and give floats in [0, 1]")
