"""Files that are there whole or not at all, and JSON that is what was written, or is named as damaged."""

import contextlib
import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from gen_jax.command import command
from gen_jax.errors import InputError

SEAL = "sha256"
# Where things lie, in any section: it changes when they are moved, and nothing that is computed with it.
PLACES = ("path", "condition_path", "run")


def check_regular(path: Path) -> None:
    """Raises OSError where a device or a pipe is: to read it may have no end, and to write a file replaces it."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "a device or a pipe, no file")


def read_bytes(path: Path) -> bytes:
    """The bytes of a regular file.

    Raises:
      OSError: it is none, or cannot be read.
    """
    check_regular(path)
    return path.read_bytes()


def write_whole(path: Path, content: bytes) -> None:
    """Writes beside the place and renames; whatever happens, Ctrl-C included, nothing half-written is left."""
    check_regular(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def check_local(path: Path | str) -> None:
    """Refuses an address (gs://bucket/run), which a Path would take for a directory called gs: here."""
    if re.match(r"[a-z][a-z0-9+.-]*:/", str(path)):
        raise InputError(
            f"{path}: an address, not a directory of this machine; mount the bucket and give its path there"
        )


def check_run(path: Path) -> None:
    """Refuses what is no run directory."""
    check_local(path)
    if not (path / "config.json").is_file():
        raise InputError(f"no run in {path} (no config.json); train one: {command('train', f'--workdir={path}')}")


def reason(error: OSError) -> str:
    """Why the system refused, in words."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "disk full" if full else error.strerror or str(error)


def check_room(place: Path, size: int = 0, hint: str = "") -> None:
    """Refuses a directory, there already or not, in which `size` bytes cannot be written: before the work, not after.

    Raises:
      InputError: the disk is full or may only be read.
    """
    folder = next(path for path in (place, *place.absolute().parents) if path.is_dir())
    try:
        try_room(folder, size)
    except OSError as error:
        raise InputError(f"cannot write in {place} ({reason(error)}){hint}; make room, or use another place") from error


def check_out(out: Path) -> None:
    """Refuses a file or folder that cannot be made, before the work whose result it is for; leaves nothing behind.

    Raises:
      InputError: it is a device or a pipe, or nothing can be written where it will stand.
    """
    try:
        check_regular(out)
        try_room(next(folder for folder in out.absolute().parents if folder.exists()), 0)
    except OSError as error:
        raise InputError(f"--out={out}: cannot be written ({reason(error)}); choose another place") from error


def try_room(folder: Path, size: int) -> None:
    """Raises OSError where `size` bytes, and some for the files beside, cannot be written."""
    with tempfile.TemporaryFile(dir=folder) as file:
        if not hasattr(os, "posix_fallocate"):  # macOS
            return
        try:
            os.posix_fallocate(file.fileno(), 0, min(size, 2**62) + 2**20)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # a file system that cannot tell
                raise


def read_json(path: Path) -> dict:
    """The JSON object in a file.

    Raises:
      InputError: it is not there, or holds anything else; names the file and, where one is to blame, the line.
    """
    hint = "put back a copy of it"
    try:
        value = json.loads(read_bytes(path).decode())
    except OSError as error:
        raise InputError(f"{path} cannot be read ({reason(error)}); {hint}") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno} is damaged ({error.msg}); {hint}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is damaged (it is no text); {hint}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets without end
        raise InputError(f"{path} is damaged ({error}); {hint}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} is damaged (it holds a {type(value).__name__}, not an object); {hint}")
    return value


def write_sealed(path: Path, values: Mapping) -> None:
    """Writes a JSON object with a hash of itself, in one step."""
    sealed = {**values, SEAL: _digest(values)}
    write_whole(path, (json.dumps(sealed, indent=1, sort_keys=True) + "\n").encode())


def read_sealed(path: Path) -> dict:
    """What `write_sealed` wrote; an object without a hash, written by an older version, is taken as it is.

    Raises:
      InputError: as `read_json`; or it is not what was written.
    """
    values = read_json(path)
    seal = values.pop(SEAL, None)
    if seal is not None and seal != _digest(values):
        raise InputError(
            f"{path} is not what was written (its {SEAL} is of other values); put back a copy of it, or train a new run"
        )
    return values


def _digest(values: Mapping) -> str:
    """sha256 of all but PLACES, in one spelling."""
    kept = {
        name: {k: v for k, v in value.items() if k not in PLACES} if isinstance(value, Mapping) else value
        for name, value in values.items()
    }
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
