"""Pixels to the shape that was asked for: one image in, one image out."""

import numpy as np
from PIL import Image

MODES = ("crop", "stretch")
RULE = 2  # raised when the same call gives other pixels: what is kept of them depends on it


def resize(
    image: np.ndarray, *, image_size: int | tuple[int, int] = 0, channels: int = 0, mode: str = "crop"
) -> np.ndarray:
    """Brings one image to the given size and channels.

    "crop" cuts out the largest centred part of the right aspect and scales it (bicubic, antialiased);
    "stretch" scales both sides and ignores the aspect. Grey is ITU-R 601 luma.

    Args:
      image: uint8 [H, W, C], C in {1, 3}.
      image_size: side in pixels, or (height, width); 0 leaves the size as stored.
      channels: 1, 3, or 0 for as stored.
      mode: "crop" or "stretch".

    Returns:
      uint8 [height, width, channels]; the very input where nothing changes.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if channels == 1 and image.shape[2] == 3:
        image = np.asarray(Image.fromarray(image).convert("L"))[:, :, None]
    if any(size) and image.shape[:2] != size:
        image = _scale(image, *size, mode)
    if channels == 3 and image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    return image


def _scale(image: np.ndarray, height: int, width: int, mode: str) -> np.ndarray:
    bottom, right, channels = image.shape
    left = top = 0
    if mode == "crop":
        # Whole pixels: where no scaling is needed, the crop is then exact and blurs nothing.
        tall = max(1, min(bottom, right * height // width))
        wide = max(1, min(right, bottom * width // height))
        left, top = (right - wide) // 2, (bottom - tall) // 2
        right, bottom = left + wide, top + tall
    # Cut first: Pillow's `box` would blend in the pixels beyond the crop's edge.
    image = image[top:bottom, left:right]
    picture = Image.fromarray(image[:, :, 0] if channels == 1 else image)
    scaled = picture.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(scaled).reshape(height, width, channels)
