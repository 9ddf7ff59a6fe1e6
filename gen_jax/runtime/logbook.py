"""The run directory: what a run writes down, so that it can be believed, resumed and compared.

    config.json  overrides.json  env.json  log.txt  metrics.jsonl  timing.jsonl  tb/
    checkpoints/  samples/  reals.png  then DONE, or FAILED.txt

metrics.jsonl holds no wall-clock figure, so that two runs can be compared bit for bit; those go to
timing.jsonl.
"""

import fcntl
import functools
import itertools
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

import jax

from gen_jax.errors import InputError
from gen_jax.runtime.files import read_bytes, reason, write_whole
from gen_jax.version import __version__

PACKAGES = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "ml-collections",
    "tensorflow-datasets",
    "numpy",
)


def create(runs: Path, name: str) -> Path:
    """A new run directory NNNN-name under `runs`, made atomically: two starts never share one."""
    name = _shortened(re.sub(r"[^A-Za-z0-9_.=,-]+", "-", name), 80).strip("-.")
    try:
        runs.mkdir(parents=True, exist_ok=True)
        while True:
            taken = [int(p.name[:4]) for p in runs.iterdir() if re.match(r"\d{4}-", p.name)]
            path = runs / f"{max(taken, default=0) + 1:04d}-{name}"
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return path
    except OSError as error:
        raise InputError(f"cannot make a run directory in {runs} ({reason(error)}); set --workdir=DIR") from error


def _shortened(name: str, most: int) -> str:
    """The words of a name, as joined by "-", that fit into `most` characters; one too long by itself is cut."""
    return name if len(name) <= most else name[: most + 1].rpartition("-")[0] or name[:most]


@contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Holds the run directory: a second process that trains in it is refused."""
    try:
        file = open(workdir / "lock", "w")
    except OSError as error:
        raise InputError(f"cannot write in {workdir} ({reason(error)}); choose another --workdir") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"{workdir} is being trained by another process; wait for it or stop it") from error
        yield


def write_json(path: Path, value) -> None:
    """Writes a JSON file in one step: it is there whole or not at all."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file in one step: it is there whole or not at all."""
    write_whole(path, text.encode())


def environment() -> dict:
    """Versions, devices, and of a checkout the commit, its uncommitted changes and untracked files."""
    here = Path(__file__).parent.parent
    ours = _ours(here)
    return {
        "gen_jax": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "devices": [f"{d.platform}: {d.device_kind}" for d in jax.devices()],
        "processes": jax.process_count(),
        "command": sys.argv,
        "git_commit": _git(here, "rev-parse", "HEAD") if ours else None,
        "git_diff": _git(here, "diff", "HEAD") if ours else None,
        "git_status": _git(here, "status", "--porcelain") if ours else None,
    }


@functools.cache
def code_version() -> str:
    """The version of gen_jax, in a checkout with its commit: "0.1.0", "0.1.0+1a2b3c4", "0.1.0+1a2b3c4-dirty"."""
    here = Path(__file__).parent.parent
    commit = _git(here, "describe", "--always", "--dirty", "--abbrev=7", "--exclude=*") if _ours(here) else None
    return f"{__version__}+{commit}" if commit else __version__


def _git(here: Path, *arguments: str) -> str | None:
    """What git says, None where it says nothing."""
    try:
        result = subprocess.run(["git", "-C", here, *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def _ours(here: Path) -> bool:
    """Whether this very package is tracked: an installed one may lie inside somebody else's repository."""
    return _git(here, "ls-files", "--error-unmatch", str(here / "__init__.py")) is not None


@contextmanager
def opened(workdir: Path, step: int) -> Iterator["Logbook"]:
    """The books of a run that goes on from `step`."""
    book = Logbook(workdir, step)
    try:
        yield book
    except BaseException:
        with suppress(OSError):  # of what could not be written; what ended the run is the news
            book.close()
        raise
    book.close()


@contextmanager
def silent() -> Iterator["Logbook"]:
    """Books that nobody keeps: those of every process but the first."""
    yield Silent()


class Silent:
    """A Logbook that writes nothing."""

    def metrics(self, row: dict) -> None:
        """Nothing."""

    timing = log = metrics

    def flush(self) -> None:
        """Nothing."""


class Logbook:
    """Writes metrics.jsonl, timing.jsonl, TensorBoard events and log.txt of one run."""

    def __init__(self, workdir: Path, step: int):
        """Opens the books; rows of steps beyond `step`, which a killed run left, are cut."""
        self.workdir = workdir
        cut([workdir / "metrics.jsonl", workdir / "timing.jsonl"], step)
        self._metrics = open(workdir / "metrics.jsonl", "a", buffering=1)  # a line at a time: a sweep reads along
        self._timing = open(workdir / "timing.jsonl", "a")
        self._log = open(workdir / "log.txt", "a", encoding="utf-8")
        from tensorboardX import SummaryWriter

        self._board = SummaryWriter(str(workdir / "tb"), purge_step=step + 1 if step else None)

    def metrics(self, row: dict) -> None:
        """One row: `step` and plain numbers."""
        self._metrics.write(json.dumps(row) + "\n")
        for name, value in row.items():
            if name != "step":
                self._board.add_scalar(name, value, row["step"])

    def timing(self, row: dict) -> None:
        """One row of wall-clock figures."""
        self._timing.write(json.dumps(row) + "\n")

    def log(self, line: str | None) -> None:
        """One line of what the terminal showed, if there is one."""
        if line:
            self._log.write(line + "\n")
            self._log.flush()

    def flush(self) -> None:
        """Puts all that was written on disk: done before a checkpoint, which rows must not lag behind.

        Raises:
          OSError: that is full, or the run directory is not there any more; a checkpoint would make it anew.
        """
        os.stat(self.workdir / "metrics.jsonl")
        self._flush()

    def _flush(self) -> None:
        for file in (self._metrics, self._timing, self._log):
            file.flush()
            os.fsync(file.fileno())
        self._board.flush()

    def close(self) -> None:
        """Flushes and closes the books."""
        self._flush()
        for file in (self._metrics, self._timing, self._log, self._board):
            file.close()


def cut(paths: Sequence[Path], step: int) -> None:
    """Removes the rows beyond `step` from the files that are there, and a last line that a kill left unfinished.

    Raises:
      InputError: a damaged row before them; no file has been changed.
    """
    early = lambda found: found[1]["step"] <= step
    kept = {path: [*itertools.takewhile(early, _rows(path, _fault_of(path)))] for path in paths if path.exists()}
    for path, found in kept.items():
        write_whole(path, b"".join(line for line, _ in found))


def append_rows(path: Path, rows: list[dict]) -> None:
    """Adds rows to a .jsonl file, in the place of a last line that a kill left unfinished."""
    try:
        with open(path, "a+b") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
            file.write("".join(json.dumps(row) + "\n" for row in rows).encode())
    except OSError as error:
        raise InputError(f"cannot write {path} ({reason(error)})") from error


def read_rows(path: Path) -> list[dict]:
    """The rows of metrics.jsonl or timing.jsonl: `step`, and numbers. A last line still being written is left out.

    What the clock could not measure is None in timing.jsonl.

    Raises:
      InputError: a damaged row; the message names the file and the line.
    """
    return [row for _, row in _rows(path, _fault_of(path))]


def read_records(path: Path) -> list[dict]:
    """The records of evaluations.jsonl. A last line still being written is left out.

    Raises:
      InputError: a damaged record; the message names the file and the line.
    """
    return [row for _, row in _rows(path, _record_fault)]


def _rows(path, fault):
    """(line, row) of each whole line; `fault` says what is wrong with an object, "" where nothing is."""
    try:
        lines = read_bytes(path).split(b"\n")[:-1]
    except OSError as error:
        raise InputError(f"cannot read {path} ({reason(error)})") from error
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line.decode())
            wrong = fault(row) if isinstance(row, dict) else f"{line[:20].decode()} is no object"
        except RecursionError:
            wrong = "nested too deeply"
        except ValueError as error:  # what is no JSON, or no text
            wrong = str(error)
        if wrong:
            raise InputError(f"{path}, line {number} is damaged ({wrong}); mend or remove it")
        yield line + b"\n", row


def _number(value):
    return isinstance(value, float) or _whole(value)


def _whole(value):
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _row_fault(row):
    if not _whole(row.get("step")):
        return f"step {row['step']!r} is no whole number" if "step" in row else "it has no step"
    return next((f"{name} is no number: {value!r}" for name, value in row.items() if not _number(value)), "")


def _fault_of(path):
    if path.name != "timing.jsonl":
        return _row_fault
    return lambda row: _row_fault({name: value for name, value in row.items() if value is not None or name == "step"})


# What a record may hold -> whether it must, and what it must be. The rest is the record's own.
_RECORD = {
    "metric": (True, "a name", lambda x: isinstance(x, str)),
    "value": (True, "a number or null", lambda x: x is None or _number(x)),
    "step": (False, "a whole number", _whole),
    "weights": (False, "a name", lambda x: isinstance(x, str)),
    "checkpoint": (False, "a name", lambda x: isinstance(x, str)),
    "protocol": (False, "an object", lambda x: isinstance(x, dict)),
    "refused": (False, "a text", lambda x: isinstance(x, str)),
    "warning": (False, "a text", lambda x: isinstance(x, str)),
    **dict.fromkeys(
        ("spread", "standard_error", "floor", "of_real_images"),
        (False, "a number or null", lambda x: x is None or _number(x)),
    ),
}


def _record_fault(row):
    # Older records name no checkpoint and have no protocol of their own.
    whole = ("step", "weights", "protocol") if "checkpoint" in row else ()
    for name, (needed, what, right) in _RECORD.items():
        if name not in row:
            if needed or name in whole:
                return f"it has no {name}"
        elif not right(row[name]):
            return f"{name} is not {what}: {str(row[name])[:40]}"
    return ""
