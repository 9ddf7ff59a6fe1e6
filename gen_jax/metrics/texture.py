"""How alike the textures of two sets of images are: small patterns, and grey levels side by side."""

import numpy as np
from jaxtyping import Array, Float

from gen_jax.errors import InputError
from gen_jax.metrics import checks

Images = Array | np.ndarray

LEVELS = 16
BLOCK = 512  # images whose matrices are held at once
PROPERTIES = ("contrast", "homogeneity", "energy", "correlation")


def texture_similarity(real: Float[Images, "N H W C"], fake: Float[Images, "M H W C"]) -> dict[str, float]:
    """Local binary patterns and grey-level co-occurrence, by scikit-image, on luminance in 256 levels.

    Patterns (Ojala et al. 2002): uniform, rotation-invariant, 8 points at radius 1; one histogram a set of its
    10 codes. Pixels on the border, whose neighbours lie outside, are left out.

    Co-occurrence (Haralick et al. 1973): 16 levels, distance 1, four angles, symmetric, normed; a property of
    an image is its mean over the angles. A constant image (in 16 levels) has no correlation: the mean
    correlation is over the other images.

    Args:
      real: images [N, H, W, C] in [0, 1]; colour is seen through its luminance.
      fake: images [M, H, W, C].

    Returns:
      lbp_similarity: 1 - the Jensen-Shannon distance (base 2) of the histograms; in [0, 1], 1 where equal.
      glcm_contrast, glcm_homogeneity, glcm_energy, glcm_correlation: |mean over real - mean over fake|; 0 where
        equal.

    Raises:
      InputError: an empty set, two sizes or numbers of channels, sides below 3, images that are not finite
        floats in [0, 1], or a set that is constant images only.
    """
    from scipy.spatial.distance import jensenshannon

    real, fake = checks.image_sets(real, fake)
    if min(real.shape[1:3]) < 3:
        raise InputError(f"images are {real.shape[1:3]}; texture needs sides of at least 3")
    real, fake = _grey(real), _grey(fake)
    similarity = 1.0 - jensenshannon(_patterns(real), _patterns(fake), base=2)
    ours, theirs = _co_occurrence(real, "real"), _co_occurrence(fake, "fake")
    return {"lbp_similarity": float(similarity), **{f"glcm_{p}": abs(ours[p] - theirs[p]) for p in PROPERTIES}}


def _grey(images):
    """uint8 [N, H, W]. Whole levels: patterns compare neighbours, so rounding must not tell equal ones apart."""
    from skimage.color import rgb2gray

    grey = images[..., 0] if images.shape[-1] == 1 else rgb2gray(images)
    return np.round(np.clip(grey, 0.0, 1.0) * 255.0).astype(np.uint8)


def _patterns(grey):
    """Frequencies [10] of the codes of all inner pixels."""
    from skimage.feature import local_binary_pattern

    # All images in one column: inner pixels see no other image.
    codes = local_binary_pattern(grey.reshape(-1, grey.shape[2]), P=8, R=1, method="uniform").reshape(grey.shape)
    counts = np.bincount(codes[:, 1:-1, 1:-1].astype(np.int64).ravel(), minlength=10)
    return counts / counts.sum()


def _co_occurrence(grey, name):
    """Mean over images of each property."""
    quantised = grey // (256 // LEVELS)
    varied = quantised.min(axis=(1, 2)) < quantised.max(axis=(1, 2))
    if not varied.any():
        raise InputError(f"every one of the {name} images is constant and has no texture; look at what made them")
    parts = [_properties(quantised[start : start + BLOCK]) for start in range(0, len(grey), BLOCK)]
    values = {p: np.concatenate([part[p] for part in parts]) for p in PROPERTIES}
    values["correlation"] = values["correlation"][varied]
    return {p: float(v.mean()) for p, v in values.items()}


def _properties(images):
    """Each property [N] of images [N, H, W] of whole levels."""
    from skimage.feature import graycomatrix, graycoprops

    angles = [0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    matrices = [graycomatrix(image, [1], angles, LEVELS, symmetric=True, normed=True)[:, :, 0] for image in images]
    # [levels, levels, N, angles]: scikit-image's axis of distances holds the images, so that one call does all.
    matrices = np.stack(matrices, axis=2)
    return {p: graycoprops(matrices, p).mean(axis=1) for p in PROPERTIES}
