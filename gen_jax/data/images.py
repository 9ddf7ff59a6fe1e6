"""Images: a source decoded, brought to one shape, and read by many threads."""

import functools
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gen_jax.data.decode import Undecodable, decode
from gen_jax.data.resize import resize
from gen_jax.data.source import Source, Stored
from gen_jax.errors import InputError
from gen_jax.runtime import files

PROBES = 100  # images looked at before anything is promised about the set
READ_AT_ONCE = 1024  # images that wait, encoded, for the threads
PER_TASK = 16  # a thread's portion: small images decode faster than tasks are handed over


class Fit(NamedTuple):
    """How each image of a set becomes pixels; the same for both splits."""

    shape: tuple[int, int, int]
    zero_one: bool  # stored as 0 and 1, scaled to 0 and 255
    binary: bool  # every pixel is 0 or 255: zero_one, and not interpolated
    pixels: Callable[[Stored], np.ndarray]  # stored -> uint8 [H, W, C]; raises Undecodable


def fit(source: Source, *, image_size: int, channels: int, mode: str) -> dict[str, Fit]:
    """Looks at 100 evenly spaced images of the train split and settles how to read the set.

    If they hold the values 0 and 1 only, as `binarized_mnist` does, the set is scaled to 0 and 255.

    Returns:
      The Fit of the "image" and, where there is one, that of the image it can be asked for by, "condition_image":
      of the same size, but all of three channels where one of the 100 is of colour, else of one.

    Raises:
      InputError: if none of them can be decoded.
    """
    stored, beside = source.read(evenly(source.size, PROBES))
    how = {"image": _fit(stored, source.describe(0), image_size, channels, mode)}
    if "image" in beside:
        how["condition_image"] = _fit(beside["image"], f"the condition of {source.describe(0)}", image_size, None, mode)
    return how


def _fit(stored: list[Stored], first: str, image_size: int, channels: int | None, mode: str) -> Fit:
    highest, deepest, sound, reason = 0, 1, [], ""
    for probe in stored:  # one at a time: a hundred photographs together would fill the memory
        try:
            image = _decoded(probe)
            highest, deepest = max(highest, int(image.max())), max(deepest, image.shape[2])
            sound.append(probe)
        except Undecodable as error:
            reason = reason or str(error)
    if not sound:
        raise InputError(f"{first} cannot be decoded ({reason}); remove or replace it")
    zero_one = highest == 1
    channels = deepest if channels is None else channels

    def pixels(stored: Stored) -> np.ndarray:
        image = _decoded(stored)
        if zero_one:
            if image.max() > 1:
                raise Undecodable("it holds values above 1 in a set of 0 and 1")
            image = image * np.uint8(255)
        return resize(image, image_size=image_size, channels=channels, mode=mode)

    # Interpolation makes greys of black and white.
    binary = zero_one and all(np.isin(pixels(probe), (0, 255)).all() for probe in sound)
    return Fit(pixels(sound[0]).shape, zero_one, binary, pixels)


def read(source: Source, how: Mapping[str, Fit], indices: np.ndarray) -> dict[str, np.ndarray]:
    """What stands at `indices`: `image` uint8 [n, H, W, C] and, if any, `condition_image` alike and `label` int32 [n].

    Raises:
      InputError: naming every image that cannot be decoded or has another shape than the set's.
    """
    arrays = {name: np.empty((len(indices), *fit.shape), np.uint8) for name, fit in how.items()}
    labels, failures = [], []
    for start in range(0, len(indices), READ_AT_ONCE):
        here = slice(start, start + READ_AT_ONCE)
        stored, beside = source.read(indices[here])
        labels += [beside["label"]] if "label" in beside else []
        for name, fit in how.items():
            pictures = stored if name == "image" else beside["image"]
            fill = functools.partial(_fill, fit, pictures, arrays[name][here])
            for failed in _threads().map(fill, range(0, len(pictures), PER_TASK)):
                for place, reason in failed:
                    described = source.describe(int(indices[start + place]))
                    failures.append(f"{'' if name == 'image' else 'the condition of '}{described} ({reason})")
    if failures:
        more = f" and {len(failures) - 5} more" if len(failures) > 5 else ""
        named = ", ".join(failures[:5])
        raise InputError(f"{len(failures)} images cannot be used: {named}{more}; remove or replace them")
    return {**arrays, "label": np.concatenate(labels)} if labels else arrays


def broken(paths: list[Path]) -> list[str]:
    """Why each file cannot be decoded, "" where it can."""
    look = lambda start: [_reason(path) for path in paths[start : start + PER_TASK]]
    return [reason for part in _threads().map(look, range(0, len(paths), PER_TASK)) for reason in part]


def _reason(path: Path) -> str:
    try:
        _decoded(path)
    except Undecodable as error:
        return str(error)
    return ""


def evenly(size: int, count: int) -> np.ndarray:
    """At most `count` indices of a set of `size`, evenly spaced; all of them where they are few."""
    count = min(size, count)
    return np.arange(count) * size // count


def _decoded(stored: Stored) -> np.ndarray:
    if isinstance(stored, np.ndarray):
        return stored
    try:
        return decode(files.read_bytes(stored) if isinstance(stored, Path) else stored)
    except OSError as error:
        dangling = isinstance(stored, Path) and os.path.lexists(stored) and not stored.exists()
        raise Undecodable("a dangling link" if dangling else files.reason(error)) from error


def _fill(how: Fit, stored: list[Stored], image: np.ndarray, start: int) -> list[tuple[int, str]]:
    """Decodes one thread's portion into `image`; returns (place, reason) of what could not be."""
    failed = []
    for place in range(start, min(start + PER_TASK, len(stored))):
        try:
            pixels = how.pixels(stored[place])
            if pixels.shape != how.shape:
                here, there = ("x".join(map(str, shape)) for shape in (pixels.shape, how.shape))
                field = "image_size" if pixels.shape[:2] != how.shape[:2] else "channels"
                raise Undecodable(f"{here} where others are {there}: set data.{field}")
            image[place] = pixels
        except Undecodable as error:
            failed.append((place, str(error)))
    return failed


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="gen_jax.data")
