"""gen-jax complete: parts of images drawn anew, beside what was given."""

from pathlib import Path

import numpy as np

from gen_jax.errors import InputError

HALVES = {
    "top": lambda h, w: np.s_[: h // 2],
    "bottom": lambda h, w: np.s_[h // 2 :],
    "left": lambda h, w: np.s_[:, : w // 2],
    "right": lambda h, w: np.s_[:, w // 2 :],
}
GREY = 128  # where nothing is given


def parse_mask(text: str, shape) -> np.ndarray:
    """What --mask says: uint8 [H, W, 1], 1 where the image is kept and 0 where it is drawn anew.

    Raises:
      InputError: neither a half, nor four numbers that are a rectangle in the image, nor an image file of its size.
    """
    height, width, _ = shape
    mask = np.ones((height, width, 1), np.uint8)
    if text in HALVES:
        mask[HALVES[text](height, width)] = 0
        return mask
    numbers = text.split(",")
    if all(number.strip().isdecimal() for number in numbers):
        if len(numbers) != 4:
            raise InputError(f"--mask={text}: a rectangle is LEFT,TOP,WIDTH,HEIGHT, as in 4,4,8,8")
        x, y, w, h = map(int, numbers)
        if not (w and h and x + w <= width and y + h <= height):
            raise InputError(f"--mask={text}: the rectangle is empty or reaches beyond the image, {width}x{height}")
        mask[y : y + h, x : x + w] = 0
        return mask
    if not Path(text).suffix:
        raise InputError(f"--mask={text}: expected {', '.join(HALVES)}, LEFT,TOP,WIDTH,HEIGHT, or an image file")
    white = picture(Path(text), "--mask").max(-1, keepdims=True) >= GREY
    if white.shape != mask.shape:
        raise InputError(f"--mask={text}: is {white.shape[1]}x{white.shape[0]}, the model's images {width}x{height}")
    return mask * ~white


def picture(path: Path, flag: str) -> np.ndarray:
    """The pixels of an image file, uint8 [H, W, C]."""
    from gen_jax.data.decode import of_file

    try:
        return of_file(path)
    except InputError as error:
        raise InputError(f"{flag}={path}: {error}") from error


def rows(run, images: np.ndarray, mask: np.ndarray, seeds, condition) -> np.ndarray:
    """A row an image: as given, what is kept of it, and its completion for each seed: uint8 [N * (2 + S), H, W, C]."""
    hollow = np.where(mask > 0, images, np.uint8(GREY))
    repeat = lambda x: np.repeat(x, len(seeds), 0)
    asked = condition and {name: repeat(np.asarray(value)) for name, value in condition.items()}
    drawn = run.complete(repeat(images), mask, np.tile(seeds, len(images)), asked)
    beside = [images[:, None], hollow[:, None], drawn.reshape(len(images), len(seeds), *images.shape[1:])]
    return np.concatenate(beside, 1).reshape(-1, *images.shape[1:])
