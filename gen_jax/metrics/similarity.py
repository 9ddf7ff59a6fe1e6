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


def ssim(a: Float[Images, "B H W C"], b: Float[Images, "B H W C"]) -> Float[Array, " B"]:
    """Structural similarity (Wang et al. 2004, eq. 13) in an 11x11 Gaussian window of sigma 1.5, by dm-pix.

    Range 1, K1 0.01, K2 0.03, variances divided by N; the mean over the places where the whole window lies
    inside, and over channels.

    Args:
      a: images [B, H, W, C] in [0, 1].
      b: images of the same shape; row i is compared with row i of `a`.

    Returns:
      [B] in [-1, 1], 1 for equal images.

    Raises:
      InputError: the shapes differ, no image, sides below 11, or images that are not finite floats.
    """
    import dm_pix

    _check(a, b)
    if a.shape[0] == 0:
        raise InputError("structural similarity of no images; give at least one pair")
    if min(a.shape[1:3]) < 11:
        raise InputError(f"images are {a.shape[1:3]}; the 11x11 window of SSIM needs sides of at least 11")
    if not (jnp.isfinite(a).all() and jnp.isfinite(b).all()):
        raise InputError("images hold NaN or infinity; look at what made them")
    return dm_pix.ssim(jnp.asarray(a), jnp.asarray(b))


def _check(a, b):
    if a.shape != b.shape:
        raise InputError(f"images of shapes {a.shape} and {b.shape} do not pair up; give two of one shape")
    if not (jnp.issubdtype(a.dtype, jnp.floating) and jnp.issubdtype(b.dtype, jnp.floating)):
        raise InputError(f"images are {a.dtype} and {b.dtype}; divide by 255 and give floats in [0, 1]")
