"""Image data sets that TFDS has prepared on disk in ArrayRecord form, read without TensorFlow.

Nothing here downloads: TFDS would retry for minutes on a machine without a network, so we look
on the disk ourselves and fail at once with the command to run.
"""

import contextlib
import functools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from gen_jax.command import command
from gen_jax.data import cache
from gen_jax.data.source import File, Source, Splits, hold_out, hold_out_names, stamped
from gen_jax.errors import InputError
from gen_jax.runtime.files import read_json

# Name, name/config, each with or without :version.
NAME = re.compile(r"(?P<name>\w+)(/(?P<config>[\w.+-]+))?(:(?P<version>\d+\.\d+\.\d+))?")
VERSION = re.compile(r"\d+\.\d+\.\d+")
AT_ONCE = 1024  # records in memory while captions or takes are read


def data_dir() -> Path:
    """$TFDS_DATA_DIR or ~/tensorflow_datasets, absolute: with a relative one TFDS may start to download."""
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser().absolute()


def prepared() -> list[str]:
    """Names of the data sets in `data_dir()`, of images or not."""
    root = data_dir()
    # With a config between name and version, or without: never deeper, where the downloads lie.
    infos = [*root.glob("*/*/dataset_info.json"), *root.glob("*/*/*/dataset_info.json")]
    return sorted({info.relative_to(root).parts[0] for info in infos})


def find(name: str, root: Path) -> Path | None:
    """The folder of a prepared data set: its newest version, unless the name gives one. None: not there.

    Raises:
      InputError: a malformed name, a set that is stored as TFRECORD, or several configs of which the
        name chooses none.
    """
    parts = NAME.fullmatch(name)
    if not parts:
        raise InputError(f"data.name={name}: no such form; give NAME, NAME/CONFIG or NAME:1.2.3")
    top = root / parts["name"]
    configs = [top / parts["config"]] if parts["config"] else [top, *sorted(top.glob("*/"))]
    found = {}
    for config in configs:
        versions = [folder for folder in config.glob("*/") if (folder / "dataset_info.json").is_file()]
        versions = [folder for folder in versions if VERSION.fullmatch(folder.name)]
        if parts["version"]:
            versions = [folder for folder in versions if folder.name == parts["version"]]
        if versions:
            found[config] = max(versions, key=lambda folder: [int(n) for n in folder.name.split(".")])
    if len(found) > 1:
        choices = ", ".join(f"{parts['name']}/{config.name}" for config in found)
        raise InputError(f"data.name={name}: several configs are prepared; choose one of {choices}")
    for folder in found.values():
        stored_as = read_json(folder / "dataset_info.json").get("fileFormat", "tfrecord")
        if stored_as != "array_record":
            raise InputError(
                f"data set {name} in {folder} is stored as {stored_as}, which only TensorFlow reads; "
                f"prepare it again elsewhere: TFDS_DATA_DIR=OTHER {command('prepare', name)}"
            )
        return folder
    return None


def open_splits(name: str, *, captions: bool = True, split_by: str = "index") -> Splits:
    """Opens a prepared data set: `image` and, among its features, `label` (a class) and `caption` or `text` (a text).

    "train" is TFDS's train split and never the validation split; every 10th image is held out as test
    where there is no test split; with `split_by` "name" whole names are (`hold_out_names`).

    Raises:
      InputError: not prepared, prepared as TFRECORD, or without an image; to be split by name, which it cannot.
    """
    import tensorflow_datasets as tfds  # here, since it takes a second

    builder, features = open_builder(name)
    image = features.get("image")
    if image is None and is_speech(features):
        raise InputError(f"data set {name} is speech without images; name it beside labelled images: data.audio={name}")
    if not isinstance(image, tfds.features.Image) or image.np_dtype not in (np.uint8, np.uint16):
        raise InputError(f"data set {name} has no uint8 image; its features are {', '.join(sorted(features))}")
    if "train" not in builder.info.splits:
        raise InputError(f"data set {name} has no train split; it has {', '.join(builder.info.splits)}")
    texts = [key for key in ("caption", "text") if isinstance(features.get(key), tfds.features.Text)]
    text = texts[0] if captions and texts else ""
    if split_by == "name" and not (text and "test" not in builder.info.splits):
        why = "has a test split" if text else "has no captions that are read"
        raise InputError(f"data.split_by=name: {name} {why}; leave it out")
    if split_by == "name":
        return hold_out_names(_source(name, builder, "train", text, ["train"]), every=10)
    if "test" not in builder.info.splits:
        return hold_out(_source(name, builder, "train", text, ["train"]), every=10)
    both = ("train", "test")
    return {split: lambda split=split: _source(name, builder, split, text, both) for split in both}


def open_builder(name: str) -> tuple:
    """TFDS's builder of a prepared set, and its features by name.

    Raises:
      InputError: not prepared, prepared as TFRECORD, or of features that TFDS cannot read without TensorFlow.
    """
    folder = find(name, data_dir())
    if folder is None:
        raise InputError(f"data set {name} is not prepared in {data_dir()}; run: {command('prepare', name)}")
    read_json(folder / "features.json")  # TFDS names neither the file nor the line of what it cannot read
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder_from_directory(folder)
        return builder, dict(builder.info.features.items())
    except ModuleNotFoundError as error:
        raise InputError(
            f"data set {name} has features that TFDS reads by {error.name} only; use another set"
        ) from error
    except Exception as error:  # JSON may be sound and say anything
        files = f"{folder / 'dataset_info.json'} or features.json beside it"
        raise InputError(f"data set {name}: {files} is damaged ({_line(error)}); {_again(name)}") from error


def _source(name: str, builder, split: str, text: str, splits: list[str]) -> Source:
    """One split; `text` is the feature that holds its captions ("": none), `splits` are those of the whole set."""
    import tensorflow_datasets as tfds

    # We decode with Pillow, as for every other source: TFDS would use OpenCV where that is installed, whose
    # JPEG pixels differ, and would complain where it is not.
    with _readable(name, builder, split):
        records = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
        size = len(records)
    label = dict(builder.info.features.items()).get("label")
    labelled = isinstance(label, tfds.features.ClassLabel)

    def read(indices: np.ndarray) -> tuple[list[bytes], Mapping[str, np.ndarray]]:
        with _readable(name, builder, split):
            examples = records.__getitems__(np.asarray(indices).tolist())  # in bulk: twice as fast
            images = [example["image"] for example in examples]
            labels = np.array([example["label"] for example in examples], np.int32) if labelled else None
        if labels is None:
            return images, {}
        if labels.min() < 0:
            raise InputError(f"data set {name} has no labels in its {split} split; use another set")
        return images, {"label": labels}

    captions = functools.cache(lambda split: _captions(name, builder, split, text))
    return Source(
        size=size,
        read=read,
        describe=lambda index: f"{name} {split} image {index}",
        class_names=tuple(label.names) if labelled else (),
        captions=(lambda: captions(split)) if text else None,
        all_captions=(lambda: [caption for one in splits for caption in captions(one)]) if text else None,
        files=files_of(builder, split),
    )


@contextlib.contextmanager
def _readable(name: str, builder, split: str) -> Iterator[None]:
    """Names the file of a split that is to blame for what goes wrong inside."""
    try:
        yield
    except Exception as error:  # of any type, by where the damage is
        files = [Path(path) for path in builder.info.splits[split].filepaths]
        bad = next((file for file in files if not _sound(file)), f"the {split} split in {builder.data_dir}")
        raise InputError(f"data set {name}: {bad} is damaged ({_line(error)}); {_again(name)}") from error


def _sound(file: Path) -> bool:
    """Whether all records of an ArrayRecord file can be read."""
    from array_record.python.array_record_module import ArrayRecordReader

    try:
        with contextlib.closing(ArrayRecordReader(str(file))) as reader:
            for start in range(0, reader.num_records(), AT_ONCE):
                reader.read(list(range(start, min(start + AT_ONCE, reader.num_records()))))
            return reader.num_records() > 0
    except Exception:
        return False


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


def _again(name: str) -> str:
    return f"remove it and run: {command('prepare', name)}"


def files_of(builder, split: str) -> tuple[File, ...]:
    """The files that hold a split."""
    paths = [Path(path) for path in builder.info.splits[split].filepaths]
    return tuple(stamped(path, path.name) for path in paths)


def _captions(name: str, builder, split: str, feature: str) -> list[str]:
    """All captions of a split, from the cache where they have been read before: every record must be opened."""

    def build() -> dict[str, np.ndarray]:
        texts = [example[feature].decode(errors="replace") for example in examples(builder, split, ["image"])]
        return {"json": np.frombuffer(json.dumps(texts).encode(), np.uint8)}

    identity = [[file.stamp for file in files_of(builder, split)], feature]
    return json.loads(cache.cached(f"{name}-{split}-captions", identity, build)["json"].tobytes())


def examples(builder, split: str, undecoded: Iterable[str] = ()) -> Iterator[dict]:
    """Every example of a split, in order; the features `undecoded` as the bytes that they are stored as."""
    import tensorflow_datasets as tfds

    records = builder.as_data_source(split, decoders={feature: tfds.decode.SkipDecoding() for feature in undecoded})
    for start in range(0, len(records), AT_ONCE):
        with _readable(builder.name, builder, split):
            found = records.__getitems__(range(start, min(start + AT_ONCE, len(records))))
        yield from found


def is_speech(features: Mapping) -> bool:
    """Whether a set of these features holds spoken words: `audio`, samples of any number, and `label`, a class."""
    import tensorflow_datasets as tfds

    takes = features.get("audio")
    return getattr(takes, "shape", None) == (None,) and isinstance(features.get("label"), tfds.features.ClassLabel)
