"""Data: a config section -> a Dataset, whatever the images come from."""

import difflib
import functools
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
import PIL

from gen_jax import own
from gen_jax.data import cache, digits, folder, images, npz, order, shapes, speech, tfds, transforms
from gen_jax.data import resize as resizing
from gen_jax.data import text as reading
from gen_jax.data.condition import Condition
from gen_jax.data.dataset import Dataset, Spec
from gen_jax.data.source import File, Source, Splits
from gen_jax.errors import InputError
from gen_jax.field import Field

# data.name -> what it is.
SOURCES = {
    "digits": "scikit-learn's 1,797 handwritten digits, 8x8 grey, shown at 16x16; needs no network",
    "shapes": "scenes of one to three objects with captions, drawn by rule; needs no network",
    "folder": "a folder of .png .jpg .jpeg .webp files at data.path; sub-folders are classes; captions beside them",
    "npz": f"a NumPy archive at data.path with {npz.KEYS}",
    "FILE.py:NAME": "a function of yours that returns two sources of images (docs/own.md)",
    "any other name": "any prepared TFDS image data set: mnist, cifar10:3.0.2, ... (gen-jax prepare NAME)",
}

SPLIT_BY = ("index", "name")
FIELDS = {
    "name": Field("digits", "digits, shapes, folder, npz, or the name of a prepared TFDS image set"),
    "path": Field("", "the folder or the .npz file, where data.name asks for one"),
    "labels": Field(
        "folder",
        "a folder's classes: none, folder (the first sub-folder), depth=N (the N-th), file (labels.jsonl)",
    ),
    "skip_broken": Field(False, "leave out the files of a folder that are no whole images; data.json names them"),
    "image_size": Field(0, "side in pixels after data.resize; 0: as stored", least=0, most=2**12),
    "channels": Field(0, "1: greyscale, 3: RGB, 0: as stored", least=0, most=3),
    "batch_size": Field(64, "images in the global batch, over all devices and processes", least=1, most=2**16),
    "seed": Field(0, "seed of the data order and of random transforms", least=0, most=2**32 - 1),
    "binarize": Field(
        "none",
        "none; dynamic: drawn anew at each use; static: drawn once per image; threshold: at 128",
        choices=transforms.BINARIZE,
    ),
    "flip": Field(False, "mirror each training image left-right with probability 1/2"),
    "resize": Field("crop", "crop: shorter side to size, centre crop; stretch: ignore aspect", choices=resizing.MODES),
    "resident_megabytes": Field(2048, "sets that decode to less are kept decoded, and on the device", least=0),
    "text": Field("words", "captions as words of the set's own, as bytes, or not at all", choices=reading.READ_AS),
    "text_length": Field(
        0, "words or bytes of a caption, begin and end included; 0: of the longest", least=0, most=2**16
    ),
    "audio": Field("", "a TFDS set of spoken words: each image hears its class; empty: none"),
    "speaker": Field("", "one speaker of data.audio, whom only test images hear; empty: the splits of that set"),
    "split_by": Field(
        "index",
        "a TFDS set without test images holds out every 10th, or all images of every 10th name of its captions",
        choices=SPLIT_BY,
    ),
    "condition_path": Field("", "folder of images that those of data.path are asked for by; empty: none"),
    "scenes": Field(20_000, "training scenes of shapes; a tenth as many are for the test", least=10, most=2**31 - 1),
    "objects": Field((1, 2, 3), "how many objects a scene of shapes may have"),
    "combinations": Field(
        "seen", "seen: some colours and shapes meet in test scenes only; all: anywhere", choices=shapes.COMBINATIONS
    ),
    "grid": Field(1, "pixels between the places where shapes may lie: more are easier to learn", choices=shapes.GRIDS),
}

# The fields that one kind of set alone takes.
TAKEN_BY = {
    **dict.fromkeys(("labels", "condition_path", "skip_broken"), "folder"),
    **dict.fromkeys(("scenes", "objects", "combinations", "grid"), "shapes"),
    "split_by": "tfds",
}

# Condition -> what `images.read` calls it.
READ_WITH_IMAGES = {"label": "label", "image": "condition_image"}

MEAN_IMAGES = 10_000


def make(
    *,
    name: str,
    path: str = "",
    labels: str = "folder",
    skip_broken: bool = False,
    image_size: int = 0,
    channels: int = 0,
    batch_size: int,
    seed: int = 0,
    binarize: str = "none",
    flip: bool = False,
    resize: str = "crop",
    resident_megabytes: int = 2048,
    text: str = "words",
    text_length: int = 0,
    audio: str = "",
    speaker: str = "",
    split_by: str = "index",
    condition_path: str = "",
    scenes: int = 20_000,
    objects: Sequence[int] = (1, 2, 3),
    combinations: str = "seen",
    grid: int = 1,
    split: str = "train",
    **fields,
) -> Dataset:
    """Opens one split of a data set.

    The two splits of a set share their Spec but for its size. Sets that store 0 and 1 (`binarized_mnist`)
    are scaled to 0 and 255, so one pixel range holds everywhere.

    Args:
      name: "digits", "shapes", "folder", "npz", or a TFDS name: NAME, NAME/CONFIG, either with :1.2.3.
      path: of the folder or the archive.
      labels: where the classes of a folder come from (see folder.py); all other sets bring their own.
      skip_broken: leave out images of a folder that cannot be decoded; Dataset.skipped names them.
      image_size: side in pixels; 0 keeps the images as stored (digits: 16, shapes: 32).
      channels: 1 grey, 3 colour, 0 as stored.
      batch_size: images in a global batch.
      seed: of the order, of static binarisation, of who says what each image shows, and of the scenes of shapes.
      binarize: "none", "dynamic", "static" or "threshold" (see transforms.py).
      flip: mirror half of the images, in training only, each together with the image it is asked for by.
      resize: "crop" or "stretch" (see resize.py).
      resident_megabytes: sets that decode to more than this many MiB, conditions and all, are read as needed.
      text: captions are read as "words" of the set's own or as "bytes" (see text.py), or not at all: "none".
      text_length: numbers in a caption, its beginning and end among them; longer ones of the set are cut. 0: as many
        as the longest of the set has.
      audio: a TFDS set of spoken words: each image hears one of those that say its class, from the same split.
      speaker: of `audio`, in the test split alone (see speech.py).
      split_by: "index" or "name" (see text.name): what tells the test images of a TFDS set that has no test split.
      condition_path: of a second folder, which holds for each image the one it can be asked for by (see folder.py).
      scenes, objects, combinations, grid: of shapes, see `shapes.open_splits`.
      split: "train" or "test".
      fields: what a source of the user's own is told (`name` is FILE.py:NAME, see `gen_jax.own`).

    Raises:
      InputError: whatever is wrong with the arguments or with the files they name.
    """
    _one_of("binarize", binarize, transforms.BINARIZE)
    _one_of("resize", resize, resizing.MODES)
    _one_of("channels", channels, (0, 1, 3))
    _one_of("text", text, reading.READ_AS)
    _one_of("split_by", split_by, SPLIT_BY)
    _one_of("combinations", combinations, shapes.COMBINATIONS)
    _one_of("grid", grid, shapes.GRIDS)
    _one_of("split", split, ("train", "test"))
    _within("batch_size", batch_size, 1, FIELDS["batch_size"].most)
    _within("image_size", image_size, 0, FIELDS["image_size"].most)
    _within("resident_megabytes", resident_megabytes, 0, 2**31 - 1)
    _within("seed", seed, 0, 2**32 - 1)
    _within("scenes", scenes, FIELDS["scenes"].least, FIELDS["scenes"].most)
    _within("text_length", text_length, 3 if text_length else 0, 2**16)
    if speaker and not audio:
        raise InputError(f"data.speaker={speaker}: no image hears anything; set data.audio")
    if name == "digits" and not image_size:
        image_size = 16

    special = {"labels": labels, "condition_path": condition_path, "skip_broken": skip_broken}
    special |= {"split_by": split_by, "scenes": scenes, "objects": tuple(objects), "combinations": combinations}
    special |= {"grid": grid}
    drawn = {"seed": seed, "side": image_size or shapes.SIDE}
    splits = _open(name, path, text != "none", special, drawn, fields)
    train = splits["train"]()  # settles what both splits share
    source = train if split == "train" else splits[split]()
    how = images.fit(train, image_size=image_size, channels=channels, mode=resize)
    if how["image"].binary and binarize != "none":
        raise InputError(f"data.binarize={binarize}: {name} is binary already; set data.binarize=none")
    names = train.class_names
    words = _words(train, name, text, text_length)
    tokens = words and words.encode(source.captions(), cut=True)
    heard = audio and speech.pair(speech.open_split(audio, split, speaker), names, size=source.size, seed=seed)
    conditions = _conditions(names, words, heard, how)
    spec = Spec(how["image"].shape, source.size, conditions, how["image"].binary or binarize != "none")

    # All that pixels and labels depend on beside the files, as plain values.
    options = [split, source.size, names, labels, how["image"].shape, how["image"].zero_one]
    options += [image_size, channels, resize, resizing.RULE, PIL.__version__]
    options += [source.identity] if source.identity else []
    options += [[fit.shape, fit.zero_one] for key, fit in how.items() if key != "image"]
    # All that the other conditions depend on: the words, their numbers in each caption, the takes, who hears which.
    beside = [np.frombuffer(json.dumps(words.names).encode(), np.uint8), tokens] if words else []
    beside += heard or []

    def batch(arrays: Mapping[str, np.ndarray], indices: np.ndarray | slice) -> Mapping:
        """What was read of the images at `indices`, with what stands in memory for all of them."""
        condition = {name: arrays[key] for name, key in READ_WITH_IMAGES.items() if key in arrays}
        if words:
            condition["text"] = tokens[indices]
        if heard:
            condition["audio"] = heard.of(indices, arrays["label"])
        return {"image": arrays["image"], **({"condition": condition} if condition else {})}

    limit = resident_megabytes * 2**20
    decoded = source.size * sum(math.prod(fit.shape) for fit in how.values())
    further = source.size * 4 * sum(math.prod(c.shape) for c in conditions.values() if c.kind in ("tokens", "audio"))
    # Speech takes twenty times the room of the digits that it names: they may be held where it is looked up as needed.
    held = _read_all(source, how, f"{Path(path or name).name}-{split}", options) if decoded <= limit else None
    resident = batch(held, slice(None)) if decoded + further <= limit else None

    def gather(indices: np.ndarray) -> Mapping:
        if resident is not None:
            return jax.tree.map(lambda array: array[indices], resident)
        read = images.read(source, how, indices) if held is None else {key: held[key][indices] for key in held}
        return batch(read, indices)

    return Dataset(
        name=name.rpartition(":")[2] if own.is_reference(name) else name,
        split=split,
        seed=seed,
        spec=spec,
        fingerprint=functools.cache(lambda: _fingerprint(source, held, options, beside)),
        mean=functools.cache(lambda: _mean(spec, gather)),
        indices=order.make(seed=seed, size=source.size, batch_size=batch_size),
        gather=gather,
        resident=resident,
        transform=transforms.make(
            binarize=binarize,
            flip=flip and split == "train",
            twins=[name for name, condition in conditions.items() if condition.kind == "image"],
            held_out=split == "test",
        ),
        skipped=source.skipped,
    )


def _conditions(names, words, heard, how) -> dict[str, Condition]:
    conditions = {}
    if names:
        conditions["label"] = Condition("label", (), len(names), names)
    if words:
        conditions["text"] = Condition("tokens", (words.length,), words.size, words.names)
    if heard:
        conditions["audio"] = Condition("audio", heard.mels.shape[1:])
    if "condition_image" in how:
        conditions["image"] = Condition("image", how["condition_image"].shape)
    return conditions


def _one_of(field: str, value, allowed: tuple) -> None:
    if value not in allowed:
        raise InputError(f"data.{field}={value}: must be one of {', '.join(map(str, allowed))}")


def _within(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        bound = f">= {least}" if value < least else f"<= {most}"
        raise InputError(f"data.{field}={value}: must be {bound}")


def _open(name: str, path: str, captions: bool, special: Mapping, drawn: Mapping, fields: Mapping) -> Splits:
    """The splits of a set.

    Args:
      special: the fields that one kind of set alone takes, TAKEN_BY.
      drawn: what pictures depend on that are drawn, not read.
      fields: those of a user's source.
    """
    kind = name if name in SOURCES or own.is_reference(name) else "tfds"
    for field, owner in TAKEN_BY.items():
        if owner != kind and special[field] != FIELDS[field].default:
            hint = "leave it out" if owner == "tfds" else f"set data.name={owner}"
            raise InputError(f"data.{field}={_shown(special[field])}: data.name={name} does not take it; {hint}")
    taken = {field: special[field] for field, owner in TAKEN_BY.items() if owner == kind}
    if own.is_reference(name):
        return own.load(name)[1](**({"path": path} if path else {}), **fields)
    if fields:
        raise InputError(f"data.{next(iter(fields))}: data.name={name} has no such field")
    if name in ("folder", "npz"):
        if not path:
            raise InputError(f"data.path: data.name={name} needs one; set data.path=PATH")
        return npz.open_splits(path) if name == "npz" else folder.open_splits(path, captions=captions, **taken)
    if path:
        raise InputError(f"data.path={path}: data.name={name} takes none; set data.name=folder or npz")
    if name == "digits":
        return digits.open_splits()
    if name == "shapes":
        return shapes.open_splits(captions=captions, **drawn, **taken)
    near = difflib.get_close_matches(name, ("digits", "shapes", "folder", "npz"), n=1)
    if near and name not in tfds.prepared():
        raise InputError(f"data.name={name}: no such data set; did you mean {near[0]}?")
    return tfds.open_splits(name, captions=captions, **taken)


def _shown(value) -> str:
    """A value as a flag gives it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _words(train: Source, name: str, read_as: str, length: int) -> reading.Words | None:
    """How the captions of both splits are read, None where there are none."""
    if train.all_captions is None:
        if length or read_as == "bytes":
            field = f"data.text_length={length}" if length else f"data.text={read_as}"
            raise InputError(f"{field}: no captions of {name} are read; leave it out")
        return None
    return reading.learn(train.all_captions(), read_as, length)


def _read_all(source: Source, how: Mapping[str, images.Fit], label: str, options: list) -> Mapping[str, np.ndarray]:
    """The whole split, from the cache where decoding it costs something."""
    everything = functools.partial(images.read, source, how, np.arange(source.size))
    stored, beside = source.read(np.array([0]))
    first = {"image": stored[0]} | ({"condition_image": beside["image"][0]} if "image" in beside else {})
    as_stored = all(isinstance(first[key], np.ndarray) and first[key].shape == fit.shape for key, fit in how.items())
    if source.files and not as_stored:
        return cache.cached(label, [[file.stamp for file in source.files], options], everything)
    return everything()


def _fingerprint(source: Source, held: Mapping | None, options: list, beside: Iterable[np.ndarray]) -> str:
    digest = hashlib.sha256()
    if held is None:  # modification times differ between copies of one set
        files = [(*file.stamp[:2], _probe(file)) for file in source.files]
        digest.update(json.dumps([files, options]).encode())
        held = {}
    for array in [*(held[key] for key in ("label", "condition_image", "image") if key in held), *beside]:
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
