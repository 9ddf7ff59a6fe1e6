"""A folder of image files; its sub-folders, if any, are the classes; beside them may stand captions, and twins.

Classes may come from elsewhere, as data.labels says; from a table they are lines of labels.jsonl in the folder that
data.path names: {"file": "cats/1.png", "label": "cat"}.

A caption is the text file NAME.txt beside NAME.png, or a line of captions.jsonl in the folder that data.path names:
{"file": "cats/1.png", "text": "a grey cat"}. A twin is the image that an image can be asked for by (its edges, its
segments, the same in grey): data.condition_path names a second folder, where it has the same name at the same place,
with any ending.
"""

import functools
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import PIL

from gen_jax.data import cache, images
from gen_jax.data.source import File, Source, Splits, hold_out, stamped
from gen_jax.errors import InputError
from gen_jax.runtime.files import read_bytes, reason

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp")
CAPTIONS, LABELS = "captions.jsonl", "labels.jsonl"
MANY = 20_000  # images, from which on it is said that they are looked at
SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation", "dev"}


def open_splits(
    path: str, *, labels: str = "folder", captions: bool = True, condition_path: str = "", skip_broken: bool = False
) -> Splits:
    """Opens a folder, searched recursively; hidden files and folders are not seen, a linked folder is read once.

    Every image is decoded once, so that a broken one is no surprise in the middle of a run; what was found is kept. A
    folder whose sub-folders are exactly train/ and test/ brings its own splits, which share one numbering of the
    classes; from others every 10th image is held out.

    Args:
      path: of the folder.
      labels: where the class of an image comes from. "folder": the first sub-folder, inside train/ and test/ where
        there are these; images that lie flat have none. "depth=N": the N-th sub-folder. "file": its line in
        labels.jsonl. "none": there are no classes. They are numbered in sorted order; a single one is no class.
      captions: look for them.
      condition_path: of the folder of twins; "" for none.
      skip_broken: leave out images that are no whole images, or whose twins are none, and say which (Source.skipped).

    Raises:
      InputError: no such folder, no images in it, broken ones, images both beside and in sub-folders, sub-folders that
        look like splits but are not exactly train/ and test/, or images that lack a class, a caption or a twin where
        others have one.
    """
    if not re.fullmatch(r"none|folder|file|depth=[1-9]\d?", labels):
        raise InputError(f"data.labels={labels}: must be none, folder, file, or depth=N with N from 1 to 99")
    root = Path(path).expanduser().absolute()
    if not root.is_dir():
        raise InputError(f"data.path={path}: no such folder; give a folder of images")
    files = _images(root)
    twins = _twins(condition_path, files) if condition_path else {}
    broken = _broken(root, files, twins)
    if broken and (not skip_broken or len(broken) == len(files)):
        named = [f"{file} ({reason})" for file, reason in broken.items()]
        more = f" and {len(named) - 5} more" if len(named) > 5 else ""
        hint = "remove or replace them" + ", or set data.skip_broken=true" * (not skip_broken)
        found = f"{len(broken)} of {len(files)} images are broken: {', '.join(named[:5])}{more}"
        raise InputError(f"data.path={path}: {found}; {hint}")
    files = [file for file in files if file not in broken]
    splits = _own_splits(path, files)
    classes = _classes(root, files, labels, splits)
    texts = _captions(path, root, files) if captions else {}
    table = [stamped(root / LABELS, LABELS)] if labels == "file" else []

    def source(split: str = "") -> Source:
        part = [file.relative_to(split) for file in files if file.is_relative_to(split)]
        source = _source(root, split, part, classes, texts, twins, table)
        return source._replace(skipped={file.as_posix(): reason for file, reason in broken.items()})

    return {split: functools.partial(source, split) for split in splits} if splits else hold_out(source(), every=10)


def _images(root: Path) -> list[Path]:
    """Image files below root, relative to it, sorted by their parts: the same on every machine.

    Linked folders come after all others, and a folder that was read already is not read again under another name: a
    link to a folder above would have no end.
    """
    found, tops, read = [], [root], set()
    for top in tops:  # grows by the links that are met
        for folder, folders, names in os.walk(top, onerror=_refuse):
            there = os.stat(folder)
            if (there.st_dev, there.st_ino) in read:
                folders.clear()
                continue
            read.add((there.st_dev, there.st_ino))
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            tops += [Path(folder) / name for name in folders if os.path.islink(os.path.join(folder, name))]
            for name in names:
                if not name.startswith(".") and name.lower().endswith(EXTENSIONS):
                    found.append((Path(folder) / name).relative_to(root))
    if not found:
        raise InputError(f"no images ({' '.join(EXTENSIONS)}) in {root}")
    return sorted(found, key=lambda file: file.parts)


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be read ({error.strerror}); make it readable") from error


def _broken(root: Path, files: list[Path], twins: Mapping[Path, Path]) -> dict[Path, str]:
    """Which files, relative to root, are no images, or have twins that are none, and why.

    All are decoded once: which ones failed is kept on disk, and these are looked at again each time.
    """
    paths = [root / file for file in files] + [twins[file] for file in files if twins]

    def look() -> dict[str, np.ndarray]:
        if len(paths) >= MANY:
            print(f"looking at {len(paths):,} images of {root}, once", file=sys.stderr)
        return {"failed": np.flatnonzero(images.broken(paths))}

    stamps = [stamped(path, str(path)).stamp if os.path.exists(path) else str(path) for path in paths]
    failed = cache.cached(f"{root.name}-broken", [stamps, PIL.__version__], look)["failed"]
    reasons = images.broken([paths[index] for index in failed])
    found = {}
    for index, why in zip(failed, reasons, strict=True):
        if why:
            found.setdefault(files[index % len(files)], why if index < len(files) else f"its condition: {why}")
    return found


def _own_splits(path: str, files: list[Path]) -> tuple[str, ...]:
    """("train", "test") where the folder brings its own, else ()."""
    tops = {file.parts[0] for file in files if len(file.parts) > 1}
    if not tops or not tops <= SPLIT_NAMES:
        return ()
    if tops != {"train", "test"}:
        found = ", ".join(f"{top}/" for top in sorted(tops))
        raise InputError(f"data.path={path}: it holds {found} and not train/, test/; name one of them or rename them")
    return ("train", "test")


def _classes(root: Path, files: list[Path], labels: str, splits: tuple[str, ...]) -> dict[Path, str]:
    """The name of the class of each image, whose path is relative to root; {} where there are none."""
    if labels == "none":
        return {}
    if labels == "file":
        found = _table(root / LABELS, "label", "cat")
        _all_have(files, found, f"data.labels={labels}", f"line in {LABELS}", "write one for each")
        return {file: found[file] for file in files}
    depth = 1 if labels == "folder" else int(labels.partition("=")[2])
    place = depth - 1 + bool(splits)  # of that sub-folder in a path
    shallow = [file for file in files if len(file.parts) <= place + 1]
    if labels == "folder" and len(shallow) == len(files):
        return {}
    if shallow:
        beside = f"{len(shallow)} images beside class folders ({shallow[0]}, ...)"
        below = "in one" if depth == 1 else f"{depth} folders deep"
        raise InputError(f"{root} holds {beside}; move them {below}, or set data.labels=none")
    return {file: file.parts[place] for file in files}


def _captions(path: str, root: Path, files: list[Path]) -> dict[Path, str]:
    """The caption of each image, whose path is relative to root; {} where none has one."""
    beside = [file for file in files if (root / file).with_suffix(".txt").is_file()]
    table = root / CAPTIONS
    if beside and table.is_file():
        raise InputError(
            f"data.path={path}: it holds {CAPTIONS} and {beside[0].with_suffix('.txt')}; remove one of them"
        )
    if table.is_file():
        texts = _table(table, "text", "a grey cat")
    else:
        texts = {file: _text((root / file).with_suffix(".txt")).strip() for file in beside}
    if texts:
        _all_have(files, texts, f"data.path={path}", "caption", "write one for each, or set data.text=none")
    return {file: texts[file] for file in files} if texts else {}


def _table(file: Path, key: str, example: str) -> dict[Path, str]:
    """What each line of a table says of its image under `key`; `example` is such a text."""
    said = {}
    for number, line in enumerate(_text(file).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            image, text = Path(row["file"]), row[key].strip()
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            form = json.dumps({"file": "cats/1.png", key: example})
            raise InputError(f"{file}: line {number} is not of the form {form}; mend or remove it") from error
        if image in said:
            raise InputError(f"{file}: line {number} is a second line of {image}; remove one")
        said[image] = text
    if not said:
        raise InputError(f"{file}: nothing in it; fill or remove it")
    return said


def _text(file: Path) -> str:
    try:
        return read_bytes(file).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else "no UTF-8"
        raise InputError(f"{file}: cannot be read ({why}); save it as UTF-8 text") from error


def _twins(condition_path: str, files: list[Path]) -> dict[Path, Path]:
    """The file of each image's twin."""
    root = Path(condition_path).expanduser().absolute()
    if not root.is_dir():
        raise InputError(f"data.condition_path={condition_path}: no such folder; give a folder of images")
    there = _images(root)
    by_name = {twin.with_suffix(""): twin for twin in there} | {twin: twin for twin in there}
    found = {file: by_name.get(file) or by_name.get(file.with_suffix("")) for file in files}
    twins = {file: root / twin for file, twin in found.items() if twin}
    _all_have(files, twins, f"data.condition_path={condition_path}", "image", "put one there for each")
    return twins


def _all_have(files: list[Path], found: Mapping[Path, object], field: str, what: str, hint: str) -> None:
    if lack := [file.as_posix() for file in files if file not in found]:
        more = f" and {len(lack) - 3} more" if len(lack) > 3 else ""
        raise InputError(
            f"{field}: {len(lack)} of {len(files)} images have no {what}: {', '.join(lack[:3])}{more}; {hint}"
        )


def _source(
    root: Path,
    split: str,
    files: list[Path],
    classes: Mapping[Path, str],
    texts: Mapping[Path, str],
    twins: Mapping[Path, Path],
    table: list[File],
) -> Source:
    """The source of `files`, relative to root/split; the mappings go by paths relative to root."""
    class_names = tuple(sorted(set(classes.values())))
    if len(class_names) < 2:  # one class tells a model nothing
        class_names = ()
    number = {name: label for label, name in enumerate(class_names)}
    labels = np.array([number[classes[Path(split, file)]] for file in files], np.int32) if class_names else None
    stamps = [stamped(root / split / file, file.as_posix()) for file in files]
    stamps += [stamped(twins[Path(split, file)], f"condition/{file.as_posix()}") for file in files if twins]

    def read(indices: np.ndarray) -> tuple[list[Path], Mapping]:
        chosen = [files[index] for index in indices]
        beside = {"image": [twins[Path(split, file)] for file in chosen]} if twins else {}
        if labels is not None:
            beside["label"] = labels[indices]
        return [root / split / file for file in chosen], beside

    return Source(
        size=len(files),
        read=read,
        describe=lambda index: str(root / split / files[index]),
        class_names=class_names,
        captions=(lambda: [texts[Path(split, file)] for file in files]) if texts else None,
        all_captions=(lambda: list(texts.values())) if texts else None,
        files=(*stamps, *table),
    )
