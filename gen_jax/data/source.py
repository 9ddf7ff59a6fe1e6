"""Source: images as they are stored, before decoding and resizing; every kind of data set opens as two."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gen_jax.errors import InputError

# What a source hands out for one image: a file, its bytes, or uint8 pixels [H, W, C] with C in {1, 3}.
Stored = Path | bytes | np.ndarray


class File(NamedTuple):
    """A file behind a source: `stamp` changes whenever somebody writes it."""

    path: Path
    stamp: tuple[str, int, int]  # (name, bytes, mtime_ns); the name is the same on every machine


class Source(NamedTuple):
    """One split of stored images, numbered from 0."""

    size: int
    # (indices) -> stored images and labels int32 [n] (None: no labels).
    read: Callable[[np.ndarray], tuple[list[Stored], np.ndarray | None]]
    # (index) -> what a message calls this image.
    describe: Callable[[int], str]
    class_names: tuple[str, ...] = ()  # empty: no labels
    # Every file behind it: what a cache of it depends on. Empty: no cache.
    files: tuple[File, ...] = ()


Splits = Mapping[str, Callable[[], Source]]  # "train" and "test"; opened only when asked for


def hold_out(source: Source, every: int) -> Splits:
    """Splits a source that has no test images: the last of each `every` images is a test image.

    Raises:
      InputError: on opening "test", where there are fewer than `every` images.
    """
    index = np.arange(source.size)
    held = index % every == every - 1

    def test() -> Source:
        if not held.any():
            raise InputError(f"data: {source.size} images are too few to hold out every {every}th as test; add images")
        return select(source, index[held])

    return {"train": lambda: select(source, index[~held]), "test": test}


def select(source: Source, chosen: np.ndarray) -> Source:
    """The chosen images of a source, renumbered from 0."""
    return source._replace(
        size=len(chosen),
        read=lambda indices: source.read(chosen[indices]),
        describe=lambda index: source.describe(int(chosen[index])),
    )


def in_memory(images: np.ndarray, labels: np.ndarray | None, class_names=(), files=()) -> Source:
    """A source over uint8 images [N, H, W, C] and int32 labels [N] or None."""
    return Source(
        size=len(images),
        read=lambda indices: (list(images[indices]), None if labels is None else labels[indices]),
        describe=lambda index: f"image {index}",
        class_names=tuple(class_names),
        files=tuple(files),
    )


def stamped(path: str | os.PathLike, name: str) -> File:
    """The File at `path`, called `name`, as it is now."""
    stat = Path(path).stat()
    return File(Path(path), (name, stat.st_size, stat.st_mtime_ns))
