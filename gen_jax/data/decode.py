"""Encoded image files -> uint8 pixels, whatever their mode: grey or colour, 8 bits, upright, on white."""

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from gen_jax.errors import InputError
from gen_jax.runtime.files import read_bytes, reason

# Named one by one: Pillow would also hand a file to external programs (EPS) if its first bytes ask for it.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")

# Of pictures of more than 89 million pixels; Pillow refuses those of twice as many, and that is said in one line.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class Undecodable(Exception):
    """These bytes are no whole image; the message says why."""


def decode(encoded: bytes) -> np.ndarray:
    """Pixels of an encoded image.

    The EXIF orientation is applied, transparency is laid on white, 16-bit grey is scaled to 8 bits
    and palettes are looked up.

    Returns:
      uint8 [H, W, 1] for grey files, [H, W, 3] for all others.

    Raises:
      Undecodable: where the bytes are truncated, no image, or one of float pixels.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            image.load()
            image = _eight_bits(ImageOps.exif_transpose(image))
    except Exception as error:  # Pillow raises a dozen types on bad bytes; each means the same here
        reason = str(error) if str(error) and "BytesIO" not in str(error) else "not an image"
        raise Undecodable(reason) from error
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def of_file(path: Path) -> np.ndarray:
    """The pixels of an image file that a user names.

    Raises:
      InputError: it cannot be read, or is no image; the caller says which file.
    """
    try:
        return decode(read_bytes(path))
    except OSError as error:
        raise InputError(f"{reason(error)}; give an image file") from error
    except Undecodable as error:
        raise InputError(f"cannot be decoded ({error}); give an image file") from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """Any mode to "L" or "RGB"."""
    if image.mode.startswith("I"):  # 16-bit grey; 65535 -> 255
        return Image.fromarray(np.rint(np.clip(np.asarray(image), 0, 65535) / 257.0).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("float pixels")
    grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), colour)
    # Grey survives the way through RGB exactly: the weights of "L" sum to one.
    return image.convert("RGB").convert("L") if grey else image.convert("RGB")
