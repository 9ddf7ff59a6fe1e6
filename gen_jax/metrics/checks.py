"""What a metric accepts: one place that refuses the rest, by the name of the argument."""

import numpy as np

from gen_jax.errors import InputError

# What rounding may add to [0, 1].
TOLERANCE = 1e-3


def features(values, name: str, least: int = 1) -> np.ndarray:
    """`values` as an array [N, d] of finite floats with N >= `least` and d >= 1, or InputError naming `name`."""
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[1] == 0:
        raise InputError(f"{name} have shape {values.shape}; give one row of features an image, [N, d]")
    if len(values) < least:
        raise InputError(f"{name} are {len(values)} rows; give at least {least}")
    if not np.issubdtype(values.dtype, np.floating):
        raise InputError(f"{name} are {values.dtype}; give floats")
    if not np.isfinite(values).all():
        raise InputError(f"{name} hold NaN or infinity; check the images and the extractor")
    return values


def feature_sets(real, fake, least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of features [N, d], [M, d] of one width, checked as `features` does."""
    real, fake = features(real, "real features", least), features(fake, "fake features", least)
    if real.shape[1] != fake.shape[1]:
        raise InputError(
            f"real features have {real.shape[1]} columns, fake ones {fake.shape[1]}; use one extractor for both"
        )
    return real, fake


def images(values, name: str) -> np.ndarray:
    """`values` as an array [N, H, W, C] of floats in [0, 1] with N >= 1 and C 1 or 3, or InputError naming `name`."""
    values = np.asarray(values)
    if values.ndim != 4 or values.shape[-1] not in (1, 3):
        raise InputError(f"{name} have shape {values.shape}; give [N, H, W, 1] or [N, H, W, 3]")
    if values.size == 0:
        raise InputError(f"{name} are empty, of shape {values.shape}; give at least one image")
    if not np.issubdtype(values.dtype, np.floating):
        raise InputError(f"{name} are {values.dtype}; divide by 255 and give floats in [0, 1]")
    if not np.isfinite(values).all():
        raise InputError(f"{name} hold NaN or infinity; look at what made them")
    if values.min() < -TOLERANCE or values.max() > 1.0 + TOLERANCE:
        raise InputError(f"{name} lie in [{values.min():.3g}, {values.max():.3g}]; scale them to [0, 1]")
    return values


def image_sets(real, fake) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of images of one size and one number of channels, checked as `images` does."""
    real, fake = images(real, "real images"), images(fake, "fake images")
    if real.shape[1:] != fake.shape[1:]:
        raise InputError(f"real images are {real.shape[1:]}, fake ones {fake.shape[1:]}; give one size and channels")
    return real, fake


def image_pairs(a, b) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays of images of one shape, row i with row i, checked as `images` does."""
    a, b = images(a, "first images"), images(b, "second images")
    if a.shape != b.shape:
        raise InputError(f"images of shapes {a.shape} and {b.shape} do not pair up; give two of one shape")
    return a, b
