"""Files that are there whole or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path

from gen_jax.errors import InputError


def write_whole(path: Path, content: bytes) -> None:
    """Writes beside the place and renames; whatever happens, Ctrl-C included, nothing half-written is left."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def check_writable(path: Path) -> None:
    """Refuses a file that cannot be written, before the work whose result it is for; leaves nothing behind.

    Raises:
      InputError: the place is a directory, or a file cannot be made there.
    """
    if path.is_dir():
        raise InputError(f"--out={path}: is a directory; name a file in it")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"--out={path}: cannot be written ({error.strerror}); choose another place") from error
