"""Data: a config section -> a Dataset, whatever the images come from."""

import difflib
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
import PIL

from gen_jax.data import cache, digits, folder, images, npz, order, tfds, transforms
from gen_jax.data import resize as resizing
from gen_jax.data.condition import Condition
from gen_jax.data.dataset import Dataset, Spec
from gen_jax.data.source import File, Source, Splits
from gen_jax.errors import InputError

# data.name -> what it is.
SOURCES = {
    "digits": "scikit-learn's 1,797 handwritten digits, 8x8 grey, shown at 16x16; needs no network",
    "folder": "a folder of .png .jpg .jpeg .webp files at data.path; sub-folders are classes",
    "npz": f"a NumPy archive at data.path with {npz.KEYS}",
    "any other name": "any prepared TFDS image data set: mnist, cifar10:3.0.2, ... (gen-jax prepare NAME)",
}

MEAN_IMAGES = 10_000


def make(
    *,
    name: str,
    path: str = "",
    image_size: int = 0,
    channels: int = 0,
    batch_size: int,
    seed: int = 0,
    binarize: str = "none",
    flip: bool = False,
    resize: str = "crop",
    resident_megabytes: int = 2048,
    split: str = "train",
) -> Dataset:
    """Opens one split of a data set.

    The two splits of a set share their Spec but for its size. Sets that store 0 and 1 (`binarized_mnist`)
    are scaled to 0 and 255, so one pixel range holds everywhere.

    Args:
      name: "digits", "folder", "npz", or a TFDS name: NAME, NAME/CONFIG, either with :1.2.3.
      path: of the folder or the archive.
      image_size: side in pixels; 0 keeps the images as stored (digits: 16).
      channels: 1 grey, 3 colour, 0 as stored.
      batch_size: images in a global batch.
      seed: of the order, and of static binarisation.
      binarize: "none", "dynamic", "static" or "threshold" (see transforms.py).
      flip: mirror half of the images, in training only.
      resize: "crop" or "stretch" (see resize.py).
      resident_megabytes: sets that decode to more than this many MiB are read from disk as needed.
      split: "train" or "test".

    Raises:
      InputError: whatever is wrong with the arguments or with the files they name.
    """
    _one_of("binarize", binarize, transforms.BINARIZE)
    _one_of("resize", resize, resizing.MODES)
    _one_of("channels", channels, (0, 1, 3))
    _one_of("split", split, ("train", "test"))
    _within("batch_size", batch_size, 1, 2**31 - 1)
    _within("image_size", image_size, 0, 2**16)
    _within("resident_megabytes", resident_megabytes, 0, 2**31 - 1)
    _within("seed", seed, 0, 2**32 - 1)
    if name == "digits" and not image_size:
        image_size = 16

    splits = _open(name, path)
    train = splits["train"]()  # settles what both splits share
    source = train if split == "train" else splits[split]()
    how = images.fit(train, image_size=image_size, channels=channels, mode=resize)
    if how.binary and binarize != "none":
        raise InputError(f"data.binarize={binarize}: {name} is binary already; set data.binarize=none")
    names = train.class_names
    conditions = {"label": Condition("label", (), len(names), names)} if names else {}
    spec = Spec(how.shape, source.size, conditions, how.binary or binarize != "none")

    # All that pixels and labels depend on beside the files, as plain values.
    options = [split, source.size, names, how.shape, how.zero_one]
    options += [image_size, channels, resize, PIL.__version__]
    resident = None
    if source.size * int(np.prod(how.shape)) <= resident_megabytes * 2**20:
        resident = _batch(_read_all(source, how, f"{Path(path).name or name}-{split}", options))

    def gather(indices: np.ndarray) -> Mapping:
        if resident is None:
            return _batch(images.read(source, how, indices))
        return jax.tree.map(lambda array: array[indices], resident)

    return Dataset(
        name=name,
        split=split,
        seed=seed,
        spec=spec,
        fingerprint=functools.cache(lambda: _fingerprint(source, resident, options)),
        mean=functools.cache(lambda: _mean(spec, gather)),
        indices=order.make(seed=seed, size=source.size, batch_size=batch_size),
        gather=gather,
        resident=resident,
        transform=transforms.make(binarize=binarize, flip=flip and split == "train"),
    )


def _one_of(field: str, value, allowed: tuple) -> None:
    if value not in allowed:
        raise InputError(f"data.{field}={value}: must be one of {', '.join(map(str, allowed))}")


def _within(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        bound = f">= {least}" if value < least else f"<= {most}"
        raise InputError(f"data.{field}={value}: must be {bound}")


def _open(name: str, path: str) -> Splits:
    if name in ("folder", "npz"):
        if not path:
            raise InputError(f"data.path: data.name={name} needs one; set data.path=PATH")
        return {"folder": folder, "npz": npz}[name].open_splits(path)
    if path:
        raise InputError(f"data.path={path}: data.name={name} takes none; set data.name=folder or npz")
    if name == "digits":
        return digits.open_splits()
    near = difflib.get_close_matches(name, ("digits", "folder", "npz"), n=1)
    if near and name not in tfds.prepared():
        raise InputError(f"data.name={name}: no such data set; did you mean {near[0]}?")
    return tfds.open_splits(name)


def _read_all(source: Source, how: images.Fit, label: str, options: list) -> Mapping[str, np.ndarray]:
    """The whole split, from the cache where decoding it costs something."""
    everything = functools.partial(images.read, source, how, np.arange(source.size))
    first = source.read(np.array([0]))[0][0]
    if source.files and (not isinstance(first, np.ndarray) or first.shape != how.shape):
        return cache.cached(label, [[file.stamp for file in source.files], options], everything)
    return everything()


def _batch(arrays: Mapping[str, np.ndarray]) -> Mapping:
    """{"image", "label"} as the rest of the house knows it."""
    condition = {"condition": {"label": arrays["label"]}} if "label" in arrays else {}
    return {"image": arrays["image"], **condition}


def _fingerprint(source: Source, resident: Mapping | None, options: list) -> str:
    digest = hashlib.sha256()
    if resident is None:  # modification times differ between copies of one set
        files = [(*file.stamp[:2], _probe(file)) for file in source.files]
        digest.update(json.dumps([files, options]).encode())
    else:
        for array in jax.tree.leaves(resident):
            digest.update(json.dumps([array.shape, str(array.dtype)]).encode())
            digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def _probe(file: File) -> str:
    """sha256 of 16 blocks spread over a large file, "" of a small one: archives of other pixels may have one size."""
    size = file.stamp[1]
    if size < 2**24:
        return ""
    digest = hashlib.sha256()
    with open(file.path, "rb") as content:
        for start in np.linspace(0, size - 2**16, 16).astype(int):
            content.seek(int(start))
            digest.update(content.read(2**16))
    return digest.hexdigest()


def _mean(spec: Spec, gather) -> np.ndarray:
    chosen = images.evenly(spec.size, MEAN_IMAGES)
    total = np.zeros(spec.shape, np.int64)
    for start in range(0, len(chosen), images.READ_AT_ONCE):
        total += gather(chosen[start : start + images.READ_AT_ONCE])["image"].sum(0, dtype=np.int64)
    return (total / (255.0 * len(chosen))).astype(np.float32)
