"""Small runs, one or two processes each, and the comparison of a run with one that nothing was done to."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Case(NamedTuple):
    """What is trained."""

    name: str
    words: tuple[str, ...]
    places: tuple[str, ...]  # in which it can be hit
    processes: int = 1


def fields(**fields):
    return tuple(f"--config.{name.replace('__', '.')}={value}" for name, value in fields.items())


LEARNS = {"train__steps": 60, "train__log_every": 1, "train__checkpoint_every": 5, "train__sample_every": 15}
LEARNS |= {"data__batch_size": 16, "train__evaluate_every": 20, "evaluate__extractor": "random"}
CODERS = {"model__encoder__widths": 32, "model__decoder__widths": 32, "model__latent_size": 4}
SIDES = {"model__generator__width": 8, "model__discriminator__width": 8, "model__latent_size": 8}
TREES = {"model__trees": 4, "model__leaves": 256, "model__rows": 20000}
VAE = ("--config=vae_digits", *fields(**LEARNS, **CODERS))
CASES = (
    Case("vae", VAE, ("compile", "evaluation", "grid", "save")),
    Case("gan", ("--config=gan_digits", *fields(**LEARNS, **SIDES)), ("compile", "evaluation", "grid", "save")),
    Case("forest", ("--config=forest_digits", *fields(**TREES)), ("fit", "grid", "save")),
    Case("vae x 2", VAE, ("compile", "evaluation", "grid", "save"), processes=2),
)
CHECKPOINTS = 2  # that a run has before it is stopped for a row of the table
LIMIT = 300.0  # seconds that a run may take
TOLD = 30.0  # seconds in which a process must notice that another is gone
LOST = 75


INJECT = str(Path(__file__).with_name("inject.py"))


class Lost(Exception):
    """Something did not end as it should."""


class Running:
    """The processes of one start of a run."""

    def __init__(self, case: Case, workdir: Path, fault=(), victim=0, options=None, cache: Path | None = None):
        self.case, self.workdir = case, workdir
        environment = dict(os.environ)
        environment["XLA_FLAGS"] = f"{environment.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=1"
        if cache:
            environment["GEN_JAX_CACHE"] = str(cache)
        address = ()
        if case.processes > 1:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                address = (f"--coordinator=127.0.0.1:{free.getsockname()[1]}", f"--processes={case.processes}")
        self.processes, self.errors = [], []
        for i in range(case.processes):
            words = ["train", *case.words, f"--workdir={workdir}", *address]
            words += [f"--process={i}"] if address else []
            program = [sys.executable, "-m", "gen_jax"]
            if fault and i == victim:
                program = [sys.executable, INJECT, *map(str, fault)]
            self.errors.append(workdir.with_name(f"{workdir.name}.{i}.stderr"))
            with open(self.errors[-1], "wb") as stderr:
                start = {"stdout": subprocess.DEVNULL, "stderr": stderr, "env": environment, **(options or {})}
                self.processes.append(subprocess.Popen([*program, *words], **start))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:  # of one that a failed check left
            process.kill()
            process.wait()

    def until(self, condition: Callable[[], bool]) -> bool:
        """Waits for it; False where a process ended first."""
        until(lambda: condition() or any(p.poll() is not None for p in self.processes))
        return condition()

    def saved(self, count=CHECKPOINTS) -> bool:
        """Waits for so many checkpoints; False where it ended first."""
        return self.until(lambda: len(committed(self.workdir)) >= count)

    def end(self, within=LIMIT) -> list[int]:
        """The exit statuses."""
        self.seconds = until(lambda: all(process.poll() is not None for process in self.processes), within)
        return [process.returncode for process in self.processes]

    def error(self, process=0) -> str:
        """What it printed."""
        return self.errors[process].read_text(errors="replace")

    def lines(self, process=0) -> list[str]:
        """Its error lines."""
        return [line for line in self.error(process).splitlines() if line.startswith("error: ")]


def until(condition: Callable[[], bool], seconds: float = LIMIT, what="the processes") -> float:
    """Waits for it; returns the seconds, by steps of its own: time in which everything was paused does not count."""
    for i in range(int(seconds / 0.01)):
        if condition():
            return 0.01 * i
        time.sleep(0.01)
    raise Lost(f"waited {seconds:.0f} s for {what}")


def committed(workdir: Path) -> list[int]:
    """Steps of the checkpoints, without importing JAX."""
    return sorted(int(path.name) for path in (workdir / "checkpoints").glob("*") if path.name.isdecimal())


def must(condition, why):
    if not condition:
        raise Lost(why)


def go_on(case, workdir):
    """The same command, to its end."""
    with Running(case, workdir) as run:
        statuses = run.end()
        must(set(statuses) == {0}, f"the same command ended with {statuses}: {' '.join(run.lines())}")
    return run


def stopped(case, workdir):
    """A run that was killed between its second checkpoint and its end."""
    with Running(case, workdir) as run:
        must(run.saved(1 if case.name == "forest" else CHECKPOINTS), f"it ended: {run.error()[-300:]}")


def state(workdir):
    """Every array of the last checkpoint, read back and verified."""
    import jax
    import numpy as np

    import gen_jax

    leaves = jax.tree_util.tree_leaves_with_path(gen_jax.load(workdir, average=False).state)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def judged(workdir):
    """The records of evaluations.jsonl, but for the commit that made them: the reference may be of an earlier one."""
    path = workdir / "evaluations.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    for record in records:
        record["protocol"].pop("code", None)
    return records


def compare(workdir, reference):
    """Raises Lost, naming what differs."""
    metrics = [(path / "metrics.jsonl").read_bytes() for path in (workdir, reference)]
    must(metrics[0] == metrics[1], "metrics.jsonl differs")
    must(judged(workdir) == judged(reference), "evaluations.jsonl differs")
    grids = [{p.name: p.read_bytes() for p in (path / "samples").glob("*.png")} for path in (workdir, reference)]
    must(grids[0] == grids[1], f"grids differ: {sorted(grids[0])} of {sorted(grids[1])}")
    must((workdir / "DONE").exists() and not (workdir / "FAILED.txt").exists(), "it does not say that it is done")
    here, there = state(workdir), state(reference)
    must(here.keys() == there.keys(), "the checkpoint has other leaves")
    for name, leaf in here.items():
        must(leaf.tobytes() == there[name].tobytes(), f"{name} of the checkpoint differs")
