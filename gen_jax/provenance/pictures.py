"""Images to files: uint8, grids, PNG with its provenance, animated WebP."""

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin

from gen_jax.errors import InputError
from gen_jax.provenance.credentials import sign
from gen_jax.runtime.files import reason
from gen_jax.version import __version__


def grid(images: np.ndarray, columns: int = 0, gap: int = 2) -> np.ndarray:
    """One picture [H', W', C] of uint8 images [N, H, W, C], row by row.

    Small images are enlarged by a whole factor, pixel for pixel, so that a cell is some 64 pixels
    and can be judged by eye. `columns` is the nearest to a square where 0.
    """
    count, height, width, channels = images.shape
    factor = max(1, 64 // max(height, width))
    images = images.repeat(factor, axis=1).repeat(factor, axis=2)
    columns = columns or int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    height, width = factor * height + gap, factor * width + gap
    sheet = np.full((rows * height + gap, columns * width + gap, channels), 128, np.uint8)
    for i, image in enumerate(images):
        top, left = gap + i // columns * height, gap + i % columns * width
        sheet[top : top + height - gap, left : left + width - gap] = image
    return sheet


def record(workdir: Path, step: int, weights: str, **choices) -> dict:
    """What a picture says of itself: all that, with its seed, makes it again. Choices that are None are left out."""
    config = hashlib.sha256((workdir / "config.json").read_bytes()).hexdigest()
    told = {name.capitalize(): value for name, value in choices.items() if value is not None}
    return {"Comment": "AI-generated", "Config-SHA256": config, "Step": step, "Weights": weights, **told}


def write_png(path: Path, image: np.ndarray, record: dict, keys: Path | None = None) -> None:
    """Writes one uint8 [H, W, C] picture with `record` in its text chunks, whole or not at all.

    `keys`, a folder of `provenance.make_identity`, signs it before it has its name.
    """
    text = PngImagePlugin.PngInfo()
    for key, value in {"Software": f"gen_jax {__version__}", **record}.items():
        text.add_text(key, str(value))
    _save(path, [image], record, keys, format="PNG", pnginfo=text)


def write_animation(
    path: Path, frames: Sequence[np.ndarray], record: dict, milliseconds: int = 60, keys: Path | None = None
) -> None:
    """Writes uint8 [H, W, C] frames as an endless loop; the suffix decides: .webp or .gif.

    `record` goes into the EXIF image description of a .webp, into the comment of a .gif, as JSON.
    """
    suffix = path.suffix.lower()
    if suffix not in (".webp", ".gif"):
        raise InputError(f"--out={path}: an animation is written as .webp or .gif")
    text = json.dumps({"Software": f"gen_jax {__version__}", **record})
    if suffix == ".webp":
        exif = Image.Exif()
        exif[ExifTags.Base.ImageDescription] = text
        extra = {"lossless": True, "exif": exif}
    else:
        extra = {"disposal": 2, "comment": text.encode()}
    _save(path, frames, record, keys, format=suffix[1:].upper(), save_all=True, duration=milliseconds, loop=0, **extra)


def _save(path: Path, frames, record, keys, **options) -> None:
    pictures = [Image.fromarray(f[..., 0] if f.shape[-1] == 1 else f) for f in frames]
    if len(pictures) > 1:
        options["append_images"] = pictures[1:]
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures[0].save(temporary, **options)
        if keys is not None:
            sign(temporary, keys, record)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write {path} ({reason(error)}); choose another --out") from error
    finally:  # there only where something went wrong, Ctrl-C included
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
