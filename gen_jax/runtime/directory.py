"""The directory of a run: whose it is, whether this config and this data may go on in it, and how it is claimed."""

import shutil
import traceback
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from gen_jax import own, schedules
from gen_jax.errors import InputError
from gen_jax.field import flatten
from gen_jax.runtime import checkpoint, logbook
from gen_jax.runtime.files import check_local, read_sealed, reason, write_sealed

MOST_NAMED = 5  # runs that a message names

# What may change when a run goes on: how long, how often and where, not what is computed but for rounding.
FREE = (
    "train.steps",
    "train.log_every",
    "train.sample_every",
    "train.checkpoint_every",
    "train.evaluate_every",
    "train.keep_checkpoints",
    "mesh.devices",
    "mesh.shard_above",
    "train.accumulate",
    "model.remat",
)


def check_same_run(config: Mapping, steps: int, workdir: Path) -> None:
    """Refuses a directory that is not a run, or is the run of another config.

    Args:
      config: as plain dicts (`gen_jax.config.to_json`).
      steps: how many updates the run will have in all.
    """
    check_local(workdir)
    if not (workdir / "config.json").exists():
        if workdir.is_dir() and any(p.name != "lock" and not p.name.endswith(".tmp") for p in workdir.iterdir()):
            raise InputError(f"{workdir} is not empty and not a run directory; choose another --workdir")
        return
    old = flatten(read_sealed(workdir / "config.json"))
    done = checkpoint.committed(workdir / "checkpoints")
    if (workdir / "DONE").exists() and not done:
        raise InputError(f"{workdir} is done but its checkpoints are gone; choose another --workdir")
    if done and done[-1] > steps:
        raise InputError(f"train.steps={steps}: the run in {workdir} is at step {done[-1]} already")
    new = flatten(config)
    differ = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
    fixed = [k for k in differ if k not in FREE]
    if fixed:
        shown = ", ".join(f"{k} ({old.get(k)} there, {new.get(k)} here)" for k in fixed)
        raise InputError(f"{workdir} is the run of another config: {shown}; choose another --workdir")
    own.check_same(config, workdir)
    if "train.steps" in differ:
        sections = {f"{a}.{b}": v for a in ("objective", "optimizer") for b, v in config.get(a, {}).items()}
        tied = sorted(k for k, v in sections.items() if schedules.depends_on_run_length(v))
        if tied:
            raise InputError(
                f"train.steps={new['train.steps']}: the run in {workdir} has {old['train.steps']}, and its schedule"
                f" {tied[0]} spans the whole run; start a new run, or give the schedule a length (over)"
            )


def newest_unfinished(config: Mapping, steps: int, runs: Path) -> Path:
    """The directory in `runs` of the newest run of this config that has not come to its end.

    Raises:
      InputError: there is none; the message says what there is.
    """
    known = sorted(path.parent for path in runs.glob("*/config.json"))
    seen = []
    for run in reversed(known):
        if (run / "DONE").exists():
            seen.append(f"{run} (done)")
            continue
        try:
            check_same_run(config, steps, run)
            return run
        except InputError as error:
            other = str(error).removeprefix(f"{run} is the run of another config: ").partition("; ")[0]
            seen.append(f"{run} ({other})")
    there = f"there are: {', '.join(seen[:MOST_NAMED])}" if seen else "there is no run"
    more = f" and {len(seen) - MOST_NAMED} more" if len(seen) > MOST_NAMED else ""
    raise InputError(f"--resume: no unfinished run of this config in {runs}; {there}{more}; leave it out to begin one")


def check_same_data(dataset, workdir: Path) -> None:
    """Refuses to go on with other images than the run began with."""
    path = workdir / "data.json"
    if not path.exists():
        return
    if read_sealed(path).get("fingerprint") != dataset.fingerprint():
        raise InputError(
            f"data set {dataset.name} is not what the run in {workdir} began with; choose another --workdir,"
            " or bring the old data back"
        )


def claim(stack: ExitStack, config: Mapping, workdir: Path, name: str, overrides, dataset) -> None:
    """Makes the directory ours, and says at once what it is: a kill from here on leaves a run to go on with."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {workdir} ({reason(error)}); choose another --workdir") from error
    stack.enter_context(logbook.locked(workdir))
    try:
        if not (workdir / "data.json").exists():
            about = {"name": dataset.name, "split": dataset.split, "fingerprint": dataset.fingerprint()}
            about |= {"skipped": dict(dataset.skipped)} if dataset.skipped else {}
            write_sealed(workdir / "data.json", {**about, "spec": dataset.spec.to_json()})
        for section, fields in config.items():
            if isinstance(fields, Mapping) and fields.get("run") and not (workdir / section).exists():
                _keep(Path(fields["run"]), workdir / section)
        own.keep(config, workdir)
        write_sealed(workdir / "config.json", config)
        logbook.write_json(workdir / "overrides.json", {"config": name, "overrides": dict(overrides or {})})
    except OSError as error:
        raise InputError(f"cannot write in {workdir} ({reason(error)}); choose another --workdir") from error


def _keep(run: Path, place: Path) -> None:
    """Copies what describes another run, and what it keeps of others itself; its arrays are in the checkpoints."""
    temporary = place.with_name(f".{place.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    for described in sorted(run.rglob("config.json")):
        inside = temporary / described.parent.relative_to(run)
        inside.mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "data.json"):
            shutil.copy(described.with_name(name), inside / name)
        if described.with_name(own.KEPT).is_dir():
            compiled = shutil.ignore_patterns("__pycache__")
            shutil.copytree(described.with_name(own.KEPT), inside / own.KEPT, ignore=compiled)
    temporary.rename(place)


def begin(workdir: Path, start: int) -> None:
    """Says that the run goes on from step `start`: it is neither done nor failed, and this is where it runs."""
    for stale in ("FAILED.txt", "DONE"):
        (workdir / stale).unlink(missing_ok=True)
    env = "env.json" if not start else f"env.resumed-{start}.json"
    logbook.write_json(workdir / env, logbook.environment())


def failed(workdir: Path, why: Exception | str, main: bool) -> str:
    """Says in FAILED.txt why the run ended before its time, and returns that in one line; only process 0 writes."""
    if not (workdir / "config.json").exists():
        return f"the run directory {workdir} was removed while it trained; nothing is left of the run"
    text = why if isinstance(why, str) else "".join(traceback.format_exception(why)).rstrip()
    if main:
        with suppress(OSError):  # a full disk, of which the line tells
            logbook.write_text(workdir / "FAILED.txt", text + "\n")
    if isinstance(why, OSError):
        return f"cannot write in {workdir} ({reason(why)}); make room and go on with the same command"
    return text if isinstance(why, str) else f"{type(why).__name__}: {why}"
