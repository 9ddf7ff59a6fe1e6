"""What a sweep will run: SWEEP/sweep.json, and the run directories that follow from it.

    sweep.json                             what was asked for, and the cells of a grid in their order
    trials/0003-learning_rate=3e-4,seed=1  an ordinary run directory, of cell 3
    logs/0003-learning_rate=3e-4,seed=1    what its process printed; who holds a lock on it drives the run
    table.csv  best.json  best_config.py  report.html

Nothing here says how far a run is: that is read from its own directory, each time (`gen_jax.sweep.state`).
"""

import fcntl
import hashlib
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gen_jax.command import command
from gen_jax.config import fields, load
from gen_jax.config.load import blamed, executed
from gen_jax.errors import InputError
from gen_jax.runtime.files import check_local, read_sealed, reason, write_sealed
from gen_jax.sweep import grammar
from gen_jax.sweep.grammar import Choice, Interval, Overrides


class Plan(NamedTuple):
    """What was asked for. Texts are as they were typed."""

    config: str
    fixed: Overrides  # of every run
    swept: Overrides  # dotted path -> text of the grammar
    space: str  # a file with `space`, "" where the flags say all
    space_sha256: str
    first_seed: int
    seeds: int
    trials: int  # cells that a search will try; 0: a grid
    metric: str  # "": what the runs are judged by themselves, if anything
    direction: str  # min | max | "": as is known of the metric
    prune: str
    study: str  # its name in the storage of a search
    shared: bool  # whether that is a database
    cells: tuple[Overrides, ...]  # of a grid, in the order of their numbers


class Run(NamedTuple):
    """One training of one cell."""

    cell: int
    seed: int
    swept: Overrides
    path: Path  # the run directory
    log: Path  # what its process prints
    words: tuple[str, ...]  # after `gen-jax`

    @property
    def name(self) -> str:
        """That of its directory."""
        return self.path.name


def asked(
    config: str,
    overrides: Sequence[tuple[str, str]],
    *,
    space: str = "",
    seeds: int = 1,
    trials: int | None = None,
    metric: str = "",
    direction: str = "",
    prune: str = "none",
    shared: bool = False,
) -> Plan:
    """The Plan of a command, checked: every cell of a grid is a config that loads, and both ends of an interval.

    Raises:
      InputError: a field that is not there, a value out of its range, nothing to sweep, a search without an end.
    """
    is_tuple = _tuples(config, overrides)
    meant = {path: grammar.meaning(path, text, is_tuple(path)) for path, text in overrides}
    several = {p: m for p, m in meant.items() if isinstance(m, Interval) or len(m.texts) > 1}
    fixed = tuple((path, text) for path, text in overrides if path not in several)
    swept = tuple((path, text) for path, text in overrides if path in several)
    if seeds > 1 and "seed" in several:
        raise InputError(f"--config.seed={dict(swept)['seed']}: --seeds={seeds} sweeps the seed already; leave one out")
    listed = _space(space) if space else None
    if space and several:
        raise InputError(f"--config.{swept[0][0]}={swept[0][1]}: {space} says what is swept; leave one out")
    if not several and not space and seeds == 1:
        example = "--config.optimizer.learning_rate=1e-4,3e-4"
        raise InputError(f"nothing to sweep: give a field several values, as in {example}, or --seeds=3")
    search = callable(listed) or any(isinstance(m, Interval) for m in several.values())
    if search and not trials:
        raise InputError("--trials: how many cells shall the search try? as in --trials=50")
    if search and not metric:
        raise InputError("--metric: what shall the search look at? a name in metrics.jsonl or evaluations.jsonl")
    if trials and not search:
        raise InputError(
            f"--trials={trials}: a grid runs all its cells; search with log(a,b), uniform(a,b) or int(a,b)"
        )
    if prune != "none" and not metric:
        raise InputError(f"--prune={prune}: by which --metric? a name in metrics.jsonl or evaluations.jsonl")
    base = load(config, fixed)
    if base.seed + seeds > 2**32:
        raise InputError(f"--seeds={seeds}: beyond the largest seed, 4294967295")
    cells = () if search else tuple(listed if space else grammar.grid(list(several.items())))
    ends = _ends(several) if search else cells
    for cell in ends:
        load(config, (*fixed, *cell))
    hashed = hashlib.sha256(Path(space).read_bytes()).hexdigest() if space else ""
    study = f"gen_jax-{uuid.uuid4().hex[:12]}" if search else ""
    return Plan(
        config,
        fixed,
        swept,
        space,
        hashed,
        base.seed,
        seeds,
        trials or 0,
        metric,
        direction,
        prune,
        study,
        shared,
        cells,
    )


def _tuples(config, overrides) -> Callable[[str], bool]:
    chosen = [(path, text) for path, text in overrides if path.endswith(".name") and len(grammar.split(text)) == 1]
    rows = fields.rows(load(config, chosen))
    return lambda path: (field := fields.find(rows, path)) is not None and field.kind is tuple


def _ends(meant) -> list[Overrides]:
    """Cells that show whether the values of each field are allowed: in turn, every text and both ends."""
    texts = {
        path: m.texts if isinstance(m, Choice) else [number(m.kind, m.low), number(m.kind, m.high)]
        for path, m in meant.items()
    }
    longest = max(map(len, texts.values()), default=0)
    return [tuple((path, values[min(i, len(values) - 1)]) for path, values in texts.items()) for i in range(longest)]


def number(kind: str, value: float) -> str:
    """The text of a number in an interval."""
    return str(int(value)) if kind == "int" else repr(float(value))


def _space(file: str) -> Callable | list[Overrides]:
    """`space` of a user's file: a function of a trial, or a list of overrides, which is a grid."""
    path = Path(file)
    if not path.is_file():
        raise InputError(f"--space={file}: no such file; it has `def space(trial)`, or a list `space`")
    with blamed(f"--space={file}", path):
        module = executed(f"gen_jax_space_{path.stem}", path)
    found = getattr(module, "space", None)
    if callable(found):
        return found
    if not isinstance(found, (list, tuple)) or not found or not all(isinstance(cell, Mapping) for cell in found):
        raise InputError(
            f"--space={file}: expected `def space(trial)`, or space = [{{'optimizer.learning_rate': 1e-4}}]"
        )
    return list(dict.fromkeys(overrides_of(cell) for cell in found))


def overrides_of(cell: Mapping[str, object]) -> Overrides:
    """A cell from Python: dotted path -> value."""
    return tuple((str(path).removeprefix("config."), grammar.written(value)) for path, value in cell.items())


def suggestions(plan: Plan) -> Callable[[object], Overrides]:
    """What a search asks an Optuna trial for: trial -> the overrides of its cell."""
    if plan.space:
        space = _space(plan.space)

        def from_file(trial):
            found = space(trial)
            return overrides_of(found if isinstance(found, Mapping) else trial.params)

        return from_file
    is_tuple = _tuples(plan.config, plan.fixed)
    meant = [(path, grammar.meaning(path, text, is_tuple(path))) for path, text in plan.swept]

    def suggested(trial, path, what):
        if isinstance(what, Choice):
            return trial.suggest_categorical(path, list(what.texts))
        if what.kind == "int":
            return str(trial.suggest_int(path, int(what.low), int(what.high)))
        return number(what.kind, trial.suggest_float(path, what.low, what.high, log=what.kind == "log"))

    return lambda trial: tuple((path, suggested(trial, path, what)) for path, what in meant)


def runs_of(plan: Plan, folder: Path, number: int, cell: Overrides) -> list[Run]:
    """The runs of one cell, by seed."""
    return [_run(plan, folder, number, cell, plan.first_seed + i) for i in range(plan.seeds)]


def _run(plan, folder, number, cell, seed):
    own = dict(cell).get("seed")  # a cell that names its seed has that one
    seeded = () if own is not None else (("seed", str(seed)),)
    names = grammar.short_names([path for path, _ in cell])
    parts = [f"{names.get(path, path)}={brief(text)}" for path, text in (*cell, *seeded)]
    name = re.sub(r"[^A-Za-z0-9_.=,+-]+", "-", ",".join(parts))
    name = f"{number:04d}-{name if len(name) <= 100 else f'{name[:80]}...,{parts[-1]}'}"
    fixed = [pair for pair in plan.fixed if pair[0] != "seed" or own is None]
    flags = [f"--config.{path}={text}" for path, text in dict((*fixed, *cell, *seeded)).items()]
    path = folder / "trials" / name
    words = ("train", f"--config={plan.config}", *flags, f"--workdir={path}")
    return Run(number, int(own) if own is not None else seed, cell, path, folder / "logs" / name, words)


def brief(text: str) -> str:
    """A number in four digits, a path by its name."""
    try:
        return f"{float(text):.4g}" if len(text) > 6 else text
    except ValueError:
        return text.rpartition("/")[2]


def read(folder: Path) -> Plan:
    """The Plan of a sweep that has begun.

    Raises:
      InputError: there is none, or it is not what was written.
    """
    file = folder / "sweep.json"
    if not file.exists():
        raise InputError(f"{folder} is no sweep: it has no sweep.json")
    found = read_sealed(file)
    try:
        pairs = {name: _pairs(found[name]) for name in ("fixed", "swept")}
        plan = Plan(**{**found, **pairs, "cells": tuple(_pairs(cell) for cell in found["cells"])})
    except (TypeError, KeyError, ValueError) as error:
        raise InputError(f"{file} is of another version of gen_jax; use that one, or another directory") from error
    return plan


def _pairs(found):
    return tuple((path, text) for path, text in found)


def write(folder: Path, plan: Plan) -> None:
    """Writes sweep.json, whole."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_sealed(folder / "sweep.json", plan._asdict())
    except OSError as error:
        raise InputError(f"cannot write in {folder} ({reason(error)}); choose another directory") from error


def agreed(folder: Path, new: Plan, extend: bool) -> Plan:
    """What the sweep in `folder` runs from now on; a new directory runs what was asked for. Nothing is written.

    Raises:
      InputError: another grammar, other than by what `extend` adds; a directory with other things in it.
    """
    check_local(folder)
    if not (folder / "sweep.json").exists():
        if folder.is_dir() and any(p.suffix not in (".lock", ".tmp") for p in folder.iterdir() if p.name != "lock"):
            raise InputError(f"{folder} is not empty and not a sweep; choose another directory")
        return new
    old = read(folder)
    search = bool(old.trials)
    kept = (
        "config",
        "fixed",
        "first_seed",
        *(("swept", "space_sha256", "metric", "direction", "seeds") if search else ()),
    )
    for name in kept:
        if getattr(old, name) != getattr(new, name):
            raise InputError(f"{folder} is another sweep: {_differ(name, old, new)}; choose another directory")
    if bool(new.trials) != search:
        raise InputError(f"{folder} is a {'search' if search else 'grid'}; choose another directory")
    grown = ("trials",) if search else ("seeds",)
    for name in grown:
        if getattr(new, name) < getattr(old, name):
            raise InputError(f"--{name}={getattr(new, name)}: the sweep in {folder} has {getattr(old, name)} already")
    for name in (*grown, "swept", "space_sha256"):
        if getattr(old, name) != getattr(new, name) and not extend:
            hint = "--extend adds to it, or choose another directory"
            raise InputError(f"{folder} is another sweep: {_differ(name, old, new)}; {hint}")
    cells = tuple(dict.fromkeys((*old.cells, *new.cells)))
    return new._replace(cells=cells, study=old.study, shared=old.shared)


def _differ(name, old, new):
    def text(value):
        if isinstance(value, tuple):
            return " ".join(f"{path}={text}" for path, text in value) or "nothing"
        return str(value or "nothing")

    a, b = text(getattr(old, name)), text(getattr(new, name))
    return "its --space file has changed" if name == "space_sha256" else f"{name} {a} there, {b} here"


@contextmanager
def driven(folder: Path, alone: bool) -> Iterator[None]:
    """Holds the sweep: a second parent is refused, but where several share a storage that is a server's."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a") as file:
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except OSError as error:
            hint = f"see {command('sweep', folder, '--status')}"
            raise InputError(f"{folder} is driven by another process; wait for it or stop it; {hint}") from error
        yield


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Held for a moment by one of several parents that share a sweep: to begin it, or to ask for a cell."""
    with open(folder / "asking.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
