"""Decoded images on disk, so that the second start of an experiment takes a tenth of a second."""

import contextlib
import hashlib
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from gen_jax.runtime.compilation import cache_directory

Arrays = Mapping[str, np.ndarray]


def directory() -> Path:
    """Where decoded sets are kept."""
    return cache_directory() / "data"


def cached(label: str, identity: object, build: Callable[[], Arrays]) -> Arrays:
    """What `build` returns, from the disk where it has been built before.

    A file that cannot be read is built anew; a directory that cannot be written costs time only.

    Args:
      label: start of the file's name, for the people who tidy up.
      identity: everything that the arrays depend on, as plain JSON values.
      build: () -> arrays by name.
    """
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    name = "".join(letter if letter.isalnum() else "-" for letter in label)
    path = directory() / f"{name}-{digest[:20]}.npz"
    try:
        with np.load(path, allow_pickle=False) as stored:  # checks the CRC of what it reads
            return dict(stored)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        arrays = build()
    with contextlib.suppress(OSError):
        _write(path, arrays)
    return arrays


def _write(path: Path, arrays: Arrays) -> None:
    """Writes beside the place and renames: another process sees the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **arrays)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
