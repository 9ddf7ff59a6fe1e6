"""How alike colours are, in Lab, where distances are roughly what people see: for pairs and for sets."""

import numpy as np
from jaxtyping import Array, Float

from gen_jax.metrics import checks

Images = Array | np.ndarray

# Pixels of a set that `lab_wasserstein` looks at.
MOST_PIXELS = 1_000_000


def colour_difference(a: Float[Images, "B H W C"], b: Float[Images, "B H W C"]) -> Float[np.ndarray, " B"]:
    """Mean CIEDE2000 difference over the pixels (Sharma et al. 2005; sRGB, D65), by scikit-image in float64.

    Args:
      a: images [B, H, W, C] in [0, 1]; one channel is grey, the same in red, green and blue.
      b: images of the same shape; row i is compared with row i of `a`.

    Returns:
      [B], >= 0, 0 for equal images; 1 is about the least difference that people notice, black to white is 100.

    Raises:
      InputError: the shapes differ, no image, or images that are not finite floats in [0, 1] of 1 or 3 channels.
    """
    from skimage.color import deltaE_ciede2000

    a, b = checks.image_pairs(a, b)
    # One pair at a time: some forty temporaries of the size of an image.
    return np.array([deltaE_ciede2000(_lab(x), _lab(y)).mean() for x, y in zip(a, b, strict=True)])


def lab_wasserstein(real: Float[Images, "N H W C"], fake: Float[Images, "M H W C"]) -> dict[str, float]:
    """1-D Wasserstein distances of the two populations of pixels, for each channel of Lab by itself.

    Where a set has more than a million pixels, a million are drawn from it with replacement by a generator of
    seed 0: the same images always give the same number, and two sets of one size have the same places drawn.

    Args:
      real: images [N, H, W, C] in [0, 1]; one channel is grey, the same in red, green and blue.
      fake: images [M, H, W, C].

    Returns:
      l, a, b: each >= 0, in units of that channel (L runs from 0 to 100); 0 for equal populations.

    Raises:
      InputError: an empty set, two sizes or numbers of channels, or images that are not finite floats in [0, 1].
    """
    from scipy.stats import wasserstein_distance

    real, fake = (_pixels(images) for images in checks.image_sets(real, fake))
    return {name: float(wasserstein_distance(real[:, i], fake[:, i])) for i, name in enumerate("lab")}


def _pixels(images):
    pixels = images.reshape(-1, images.shape[-1])
    if len(pixels) > MOST_PIXELS:
        pixels = pixels[np.random.default_rng(0).integers(len(pixels), size=MOST_PIXELS)]
    return _lab(pixels)


def _lab(values):
    """Lab [..., 3] of [..., C] in [0, 1]."""
    from skimage.color import rgb2lab

    # Rounding may leave [0, 1], where the conversion is not defined.
    return rgb2lab(np.clip(np.broadcast_to(values, (*values.shape[:-1], 3)).astype(np.float64), 0.0, 1.0))
