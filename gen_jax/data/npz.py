"""A NumPy archive: `images` and perhaps `labels`, or Keras's x_train, y_train, x_test, y_test."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from gen_jax.data.source import Source, Splits, hold_out, in_memory, stamped
from gen_jax.errors import InputError

KEYS = "`images` [and `labels`], or x_train [y_train, x_test, y_test]"


def open_splits(path: str) -> Splits:
    """Opens an archive of uint8 images [N, H, W] or [N, H, W, C], C in {1, 3}, and integer labels [N].

    Every 10th image is held out as test where the archive has no x_test.

    Raises:
      InputError: no such file, no archive, arrays missing or of a wrong type, shape or length.
    """
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        raise InputError(f"data.path={path}: no such file; give an .npz archive with {KEYS}")
    if not zipfile.is_zipfile(file):  # NumPy would take it for a pickle
        raise InputError(f"data.path={path}: not a readable archive; save it by np.savez(path, images=...)")
    names = ("images", "labels", "x_train", "y_train", "x_test", "y_test")
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in names if name in archive}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = "an array of objects" if "allow_pickle" in str(error) else "not a readable archive"
        raise InputError(f"data.path={path}: {reason}; save it by np.savez(path, images=...)") from error

    flat = "images" in arrays
    train = ("images", "labels") if flat else ("x_train", "y_train")
    if train[0] not in arrays:
        raise InputError(f"data.path={path}: it lacks {KEYS}; save it with these names")
    pairs = [train] + ([("x_test", "y_test")] if not flat and "x_test" in arrays else [])
    if len({y in arrays for _, y in pairs}) == 2:
        raise InputError(f"data.path={path}: only one of y_train and y_test is there; give both or neither")
    images = [_images(path, x, arrays[x]) for x, _ in pairs]
    labels = [
        _labels(path, y, arrays[y], len(part)) if y in arrays else None
        for part, (_, y) in zip(images, pairs, strict=True)
    ]
    classes = 0 if labels[0] is None else 1 + max(int(part.max()) for part in labels)
    class_names = [str(label) for label in range(classes)]
    files = [stamped(file, file.name)]

    def source(part: int) -> Source:
        return in_memory(images[part], labels[part], class_names, files)

    if len(pairs) == 1:
        return hold_out(source(0), every=10)
    return {"train": lambda: source(0), "test": lambda: source(1)}


def _images(path: str, name: str, images: np.ndarray) -> np.ndarray:
    if images.dtype != np.uint8:
        raise InputError(f"data.path={path}: {name} is {images.dtype}; store uint8 in 0..255, such as np.rint(x * 255)")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise InputError(
            f"data.path={path}: {name} has shape {images.shape}; give [N, H, W] or [N, H, W, C] with C 1 or 3"
        )
    return images


def _labels(path: str, name: str, labels: np.ndarray, size: int) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] == 1:  # as Keras stores CIFAR's
        labels = labels[:, 0]
    if labels.shape != (size,):
        raise InputError(f"data.path={path}: {name} has shape {labels.shape} for {size} images; give [{size}]")
    if labels.dtype.kind not in "iu" or labels.min() < 0:
        raise InputError(f"data.path={path}: {name} must be integers from 0; it is {labels.dtype}")
    return labels.astype(np.int32)
