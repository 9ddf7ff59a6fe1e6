"""Source: images as they are stored, before decoding and resizing; every kind of data set opens as two."""

import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gen_jax.data.text import name
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
    # (indices) -> stored images, and what stands beside each, by the name of its condition: "label" int32 [n] where
    # there are classes, "image" list[Stored] where an image can be asked for by another.
    read: Callable[[np.ndarray], tuple[list[Stored], Mapping[str, np.ndarray | list[Stored]]]]
    # (index) -> what a message calls this image.
    describe: Callable[[int], str]
    class_names: tuple[str, ...] = ()  # empty: no labels
    # () -> a caption for each image of this split, and () -> those of both, or as many as hold every word and the
    # greatest length. They are not handed out by `read`, since nobody knows the words of a set before all are read.
    # None: no captions.
    captions: Callable[[], list[str]] | None = None
    all_captions: Callable[[], list[str]] | None = None
    # Every file behind it: what a cache of it depends on. Empty: no cache.
    files: tuple[File, ...] = ()
    # What images depend on that are not read from files, as plain values.
    identity: tuple = ()
    # Of the whole set, both splits: what was left out, by the name that its user knows, and why.
    skipped: Mapping[str, str] = {}


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


def hold_out_names(source: Source, every: int) -> Splits:
    """Splits a captioned source so that all images of one name (`text.name`) are on one side, about 1 of `every` test.

    Which side it is depends on the name alone.
    """
    held = np.array([zlib.crc32(name(caption).encode()) % every == every - 1 for caption in source.captions()])
    index = np.arange(source.size)
    return {"train": lambda: select(source, index[~held]), "test": lambda: select(source, index[held])}


def select(source: Source, chosen: np.ndarray) -> Source:
    """The chosen images of a source, renumbered from 0."""
    return source._replace(
        size=len(chosen),
        read=lambda indices: source.read(chosen[indices]),
        describe=lambda index: source.describe(int(chosen[index])),
        captions=source.captions and (lambda: list(map(source.captions().__getitem__, chosen))),
    )


def in_memory(images: np.ndarray, beside: Mapping[str, np.ndarray], class_names=(), files=()) -> Source:
    """A source over uint8 images [N, H, W, C] and what stands beside them: "label" int32 [N], "image" [N, h, w, c]."""

    def read(indices: np.ndarray) -> tuple[list[Stored], Mapping]:
        return list(images[indices]), {name: values[indices] for name, values in beside.items()}

    return Source(
        size=len(images),
        read=read,
        describe=lambda index: f"image {index}",
        class_names=tuple(class_names),
        files=tuple(files),
    )


def stamped(path: str | os.PathLike, name: str) -> File:
    """The File at `path`, called `name`, as it is now."""
    stat = Path(path).stat()
    return File(Path(path), (name, stat.st_size, stat.st_mtime_ns))
