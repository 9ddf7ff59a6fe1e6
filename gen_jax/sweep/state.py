"""How far a run is, read from what lies in its directory and from nothing else."""

import fcntl
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gen_jax.errors import InputError
from gen_jax.runtime.checkpoint import committed
from gen_jax.runtime.logbook import read_records, read_rows

PRUNED = "PRUNED.txt"
# Of what ends a run and would end it again: memory that is not there, and numbers that are none.
HOPELESS = ("RESOURCE_EXHAUSTED", "MemoryError", "out of memory", "Out of memory", "non-finite")


class Seen(NamedTuple):
    """A run directory at a glance."""

    state: str  # new | begun | done | pruned | failed
    step: int  # of the latest checkpoint
    why: str = ""  # of a run that is pruned or failed


def seen(path: Path) -> Seen:
    """How far the run in `path` is.

    A run is done when it says so, pruned when a sweep said so and nobody went on with it, failed when it said why.
    """
    steps = committed(path / "checkpoints")
    step = steps[-1] if steps else 0
    if (path / "DONE").exists():
        return Seen("done", step)
    for state, name in (("pruned", PRUNED), ("failed", "FAILED.txt")):
        with suppress(OSError):
            lines = (path / name).read_text(errors="replace").strip().splitlines()
            return Seen(state, step, lines[-1] if lines else "no reason was written")
    return Seen("begun" if (path / "config.json").exists() else "new", step)


def hopeless(why: str) -> bool:
    """Whether a run that ended so would end so again."""
    return any(words in why for words in HOPELESS)


def curve(path: Path, metric: str) -> dict[int, float]:
    """Step -> value of a metric: as judged while training (evaluations.jsonl), else as logged (metrics.jsonl)."""
    with suppress(InputError):  # not there yet
        found = {r["step"]: r["value"] for r in _judged(path) if r["metric"] == metric and r["value"] is not None}
        if found:
            return found
    with suppress(InputError):
        return {row["step"]: float(row[metric]) for row in read_rows(path / "metrics.jsonl") if metric in row}
    return {}


def final(path: Path, metric: str) -> float | None:
    """The value of a metric at the last step that has one; None where none has."""
    found = curve(path, metric)
    return found[max(found)] if found else None


def reached(path: Path, metric: str) -> float | None:
    """The value of a metric in a run that is done; None where no metric is asked for.

    Raises:
      InputError: the run does not log it.
    """
    value = final(path, metric) if metric else None
    if metric and value is None:
        has = ", ".join(logged(path)) or "none"
        raise InputError(f"--metric={metric}: no run logs it; {path.name}, which is done, has: {has}")
    return value


def logged(path: Path) -> list[str]:
    """The metrics that a run has, those that judge it first."""
    names = {}
    with suppress(InputError):
        names |= dict.fromkeys(record["metric"] for record in _judged(path))
    with suppress(InputError):
        names |= {name: None for row in read_rows(path / "metrics.jsonl")[-1:] for name in row if name != "step"}
    return list(names)


def _judged(path) -> Sequence[dict]:
    return [r for r in read_records(path / "evaluations.jsonl") if r.get("checkpoint") == "training"]


def held(file: Path) -> bool:
    """Whether a process holds a lock on `file`."""
    try:
        with open(file, "rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except FileNotFoundError:
        return False
    except OSError:
        return True
