"""A NumPy archive: `images` and perhaps `labels` and `conditions`, or Keras's x_train, y_train, x_test, y_test."""

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from gen_jax.data.source import Source, Splits, hold_out, in_memory, stamped
from gen_jax.errors import InputError

KEYS = "`images` [and `labels`, `conditions`], or x_train [y_train, condition_train, x_test, ...]"
# Images, labels, and the images that they can be asked for by.
FLAT, TRAIN, TEST = (
    ("images", "labels", "conditions"),
    ("x_train", "y_train", "condition_train"),
    ("x_test", "y_test", "condition_test"),
)

MOST_CLASSES = 2**16
MOST_DEFLATED = 1032  # bytes that one byte of a deflated file can stand for


def open_splits(path: str) -> Splits:
    """Opens an archive of uint8 images [N, H, W] or [N, H, W, C], C in {1, 3}, and integer labels [N].

    `conditions` are images in the same order, of any size, which the images can be asked for by.
    Every 10th image is held out as test where the archive has no x_test.

    Raises:
      InputError: no such file, no archive, arrays missing or of a wrong type, shape or length.
    """
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        raise InputError(f"data.path={path}: no such file; give an .npz archive with {KEYS}")
    if not zipfile.is_zipfile(file):  # NumPy would take it for a pickle
        raise InputError(f"data.path={path}: not a readable archive; save it by np.savez(path, images=...)")
    try:
        _check_sizes(path, file)
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in (*FLAT, *TRAIN, *TEST) if name in archive}
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"data.path={path}: does not fit into memory; store fewer or smaller images") from error
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        reason = "an array of objects" if "allow_pickle" in str(error) else "not a readable archive"
        raise InputError(f"data.path={path}: {reason}; save it by np.savez(path, images=...)") from error

    splits = [FLAT] if "images" in arrays else [TRAIN, TEST] if "x_test" in arrays else [TRAIN]
    if splits[0][0] not in arrays:
        raise InputError(f"data.path={path}: it lacks {KEYS}; save it with these names")
    for train, test in list(zip(*splits, strict=True))[1:] if len(splits) == 2 else ():
        if (train in arrays) != (test in arrays):
            raise InputError(f"data.path={path}: only one of {train} and {test} is there; give both or neither")
    parts = []
    for x, y, condition in splits:
        images, beside = _images(path, x, arrays[x]), {}
        if y in arrays:
            beside["label"] = _labels(path, y, arrays[y], len(images))
        if condition in arrays:
            beside["image"] = _images(path, condition, arrays[condition])
            if len(beside["image"]) != len(images):
                count = len(beside["image"])
                raise InputError(f"data.path={path}: {condition} holds {count} images for {len(images)}; give one each")
        parts.append((images, beside))
    classes = 1 + max((int(beside["label"].max()) for _, beside in parts if "label" in beside), default=-1)
    class_names = [str(label) for label in range(classes)]
    files = [stamped(file, file.name)]

    def source(part: int) -> Source:
        return in_memory(*parts[part], class_names, files)

    if len(parts) == 1:
        return hold_out(source(0), every=10)
    return {"train": lambda: source(0), "test": lambda: source(1)}


def _check_sizes(path: str, file: Path) -> None:
    """Refuses arrays that say they are larger than what is stored of them: NumPy asks for all that memory first."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name not in (*FLAT, *TRAIN, *TEST):
                continue
            with archive.open(info) as member:
                version = np.lib.format.read_magic(member)
                if version not in readers:
                    raise ValueError(f"an array of version {version}")
                shape, _, dtype = readers[version](member)
                there = info.file_size - member.tell()
            if dtype.hasobject:
                continue  # refused by its type
            said = math.prod(shape) * dtype.itemsize
            packed = info.compress_size * (1 if info.compress_type == zipfile.ZIP_STORED else MOST_DEFLATED)
            if said != there or info.file_size > packed or info.compress_size > file.stat().st_size:
                raise InputError(
                    f"data.path={path}: {name} says it holds {said:,} bytes, of shape {shape}, and does not;"
                    " save it by np.savez(path, images=...)"
                )


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
    if (most := int(labels.max())) >= MOST_CLASSES:
        raise InputError(
            f"data.path={path}: {name} holds labels up to {most:,}, for {most + 1:,} classes; the most are"
            f" {MOST_CLASSES:,}, so number the classes from 0 without gaps"
        )
    return labels.astype(np.int32)
