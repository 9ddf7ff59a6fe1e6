"""Pixels to the shape that was asked for: one image in, one image out."""

import numpy as np
from PIL import Image

MODES = ("crop", "stretch")


def resize(image: np.ndarray, *, image_size: int = 0, channels: int = 0, mode: str = "crop") -> np.ndarray:
    """Brings one image to image_size x image_size and to the given channels.

    "crop" scales the shorter side to `image_size` (bicubic, antialiased) and keeps the centre;
    "stretch" scales both sides and ignores the aspect. Grey is ITU-R 601 luma.

    Args:
      image: uint8 [H, W, C], C in {1, 3}.
      image_size: side in pixels; 0 leaves the size as stored.
      channels: 1, 3, or 0 for as stored.
      mode: "crop" or "stretch".

    Returns:
      uint8 [image_size, image_size, channels]; the very input where nothing changes.
    """
    height, width, stored = image.shape
    if channels == 1 and stored == 3:
        image = np.asarray(Image.fromarray(image).convert("L"))[:, :, None]
    if image_size and (height, width) != (image_size, image_size):
        image = _scale(image, image_size, mode)
    if channels == 3 and stored == 1:
        image = np.repeat(image, 3, axis=2)
    return image


def _scale(image: np.ndarray, image_size: int, mode: str) -> np.ndarray:
    height, width, channels = image.shape
    left = top = 0
    right, bottom = width, height
    if mode == "crop":
        side = min(height, width)
        # Whole pixels: where no scaling is needed, the crop is then exact and blurs nothing.
        left, top = (width - side) // 2, (height - side) // 2
        right, bottom = left + side, top + side
    # `box` makes it one resampling that still sees the pixels beyond the crop's edge.
    picture = Image.fromarray(image[:, :, 0] if channels == 1 else image)
    scaled = picture.resize((image_size, image_size), Image.Resampling.BICUBIC, (left, top, right, bottom))
    return np.asarray(scaled).reshape(image_size, image_size, channels)
