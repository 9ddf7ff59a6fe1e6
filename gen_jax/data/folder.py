"""A folder of image files; its sub-folders, if any, are the classes."""

import os
from pathlib import Path

import numpy as np

from gen_jax.data.source import Source, Splits, hold_out, stamped
from gen_jax.errors import InputError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp")
SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation", "dev"}


def open_splits(path: str) -> Splits:
    """Opens a folder, searched recursively; hidden files and folders are not seen.

    The first-level sub-folders are the classes, in sorted order; images that lie flat, or in a single
    sub-folder, have no labels. A folder whose sub-folders are exactly train/ and test/ brings its own
    splits, which share one numbering of the classes; from others every 10th image is held out.

    Raises:
      InputError: no such folder, no images in it, images both beside and in sub-folders, or
        sub-folders that look like splits but are not exactly train/ and test/.
    """
    root = Path(path).expanduser().absolute()
    if not root.is_dir():
        raise InputError(f"data.path={path}: no such folder; give a folder of images")
    files = _images(root)
    tops = {file.parts[0] for file in files if len(file.parts) > 1}
    if tops and tops <= SPLIT_NAMES:
        if tops != {"train", "test"}:
            found = ", ".join(f"{top}/" for top in sorted(tops))
            raise InputError(
                f"data.path={path}: it holds {found} and not train/, test/; name one of them or rename them"
            )
        parts = {split: _images(root / split) for split in ("train", "test")}
        names = {split: _class_names(root / split, files) for split, files in parts.items()}
        if bool(names["train"]) != bool(names["test"]):
            raise InputError(f"data.path={path}: only one of train/ and test/ has class folders; give both")
        classes = tuple(sorted(set(names["train"]) | set(names["test"])))
        return {
            "train": lambda: _source(root / "train", parts["train"], classes),
            "test": lambda: _source(root / "test", parts["test"], classes),
        }
    return hold_out(_source(root, files, _class_names(root, files)), every=10)


def _images(root: Path) -> list[Path]:
    """Image files below root, relative to it, sorted by their parts: the same on every machine."""
    found = []
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and name.lower().endswith(EXTENSIONS):
                found.append((Path(folder) / name).relative_to(root))
    if not found:
        raise InputError(f"no images ({' '.join(EXTENSIONS)}) in {root}")
    return sorted(found, key=lambda file: file.parts)


def _class_names(root: Path, files: list[Path]) -> tuple[str, ...]:
    flat = [file for file in files if len(file.parts) == 1]
    if flat and len(flat) < len(files):
        raise InputError(f"{root} holds {len(flat)} images beside class folders ({flat[0]}, ...); move them into one")
    return tuple(sorted({file.parts[0] for file in files})) if not flat else ()


def _source(root: Path, files: list[Path], class_names: tuple[str, ...]) -> Source:
    if len(class_names) < 2:  # one class tells a model nothing
        class_names = ()
    number = {name: label for label, name in enumerate(class_names)}
    labels = np.array([number[file.parts[0]] for file in files], np.int32) if class_names else None

    def read(indices: np.ndarray) -> tuple[list[Path], np.ndarray | None]:
        return [root / files[index] for index in indices], None if labels is None else labels[indices]

    return Source(
        size=len(files),
        read=read,
        describe=lambda index: str(root / files[index]),
        class_names=class_names,
        files=tuple(stamped(root / file, file.as_posix()) for file in files),
    )
