"""Faults done to small runs, and whether anything was lost by them.

    uv run python experiments/faults.py FOLDER --kills=100 --seed=0

A VAE, a GAN and a random forest on scikit-learn's digits, and the VAE as two processes, are killed, stopped, starved of
disk and so on; after each fault the same command is given again, until the run is done. Then metrics.jsonl,
evaluations.jsonl, every grid and every array of the last checkpoint are compared, bit for bit, with those of a run of
the same command that nothing was done to. A run takes several kills one after another.

Every row that was done is a line of FOLDER/tally.jsonl, and is not done again by the same command; the table is printed
and written to FOLDER/tally.md. What does not end as it should makes a row "lost", and the exit status 1. Which fault
comes when is drawn from --seed; what it meets depends on the machine, too.
"""

import argparse
import contextlib
import ctypes
import dataclasses
import functools
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

# ---------------------------------------------------------------------------------------------------------------------
# The process that trains, with a fault inside: faults.py --inject PLACE NTH WHAT ... is `gen-jax ...` in which at the
# nth call of PLACE something happens.


def inject(place: str, nth: int, what: str, words: list[str]) -> int:
    """Runs gen-jax with `what` at the nth call of `place`: "SIGNAL:SECONDS" (so much later), "nan", "clock:SECONDS"."""
    import gen_jax.observers as observers
    import gen_jax.train  # noqa: F401
    from gen_jax.cli.main import main
    from gen_jax.evaluation import scores
    from gen_jax.runtime import checkpoint

    train = sys.modules["gen_jax.train"]
    name, _, number = what.partition(":")

    def act():
        if name == "clock":
            real = time.time
            time.time = lambda: real() + float(number)
        elif name != "nan":
            timer = threading.Timer(float(number), os.kill, (os.getpid(), getattr(signal, name)))
            timer.daemon = True
            timer.start()

    def watched(function):
        calls = []

        @functools.wraps(function)
        def call(*arguments, **options):
            calls.append(1)
            if len(calls) == nth:
                act()
            result = function(*arguments, **options)
            return poisoned(result) if name == "nan" and len(calls) == nth else result

        return call

    def poisoned(result):
        import jax

        state, metrics = result
        params = jax.tree.map(lambda x: x * float("nan"), state.params)
        return dataclasses.replace(state, params=params), metrics

    def rebuilt(function):
        def build(*arguments):
            program = function(*arguments)
            return program._replace(**{field: watched(getattr(program, field))})

        return build

    field = {"compile": "update", "update": "update", "fit": "fit"}.get(place)
    if field:
        train.build = rebuilt(train.build)
    elif place == "evaluation":
        scores.generated = watched(scores.generated)
    elif place == "grid":
        observers.write_png = watched(observers.write_png)
    elif place == "save":
        checkpoint.Writer.save = watched(checkpoint.Writer.save)
    return main(words)


# ---------------------------------------------------------------------------------------------------------------------
# Runs


class Case(NamedTuple):
    """What is trained."""

    name: str
    words: tuple[str, ...]
    places: tuple[str, ...]  # in which it can be hit
    processes: int = 1


def _fields(**fields):
    return tuple(f"--config.{name.replace('__', '.')}={value}" for name, value in fields.items())


LEARNS = {"train__steps": 60, "train__log_every": 1, "train__checkpoint_every": 5, "train__sample_every": 15}
LEARNS |= {"data__batch_size": 16, "train__evaluate_every": 20, "evaluate__extractor": "random"}
CODERS = {"model__encoder__widths": 32, "model__decoder__widths": 32, "model__latent_size": 4}
SIDES = {"model__generator__width": 8, "model__discriminator__width": 8, "model__latent_size": 8}
TREES = {"model__trees": 4, "model__leaves": 256, "model__rows": 20000}
VAE = ("--config=vae_digits", *_fields(**LEARNS, **CODERS))
CASES = (
    Case("vae", VAE, ("compile", "evaluation", "grid", "save")),
    Case("gan", ("--config=gan_digits", *_fields(**LEARNS, **SIDES)), ("compile", "evaluation", "grid", "save")),
    Case("forest", ("--config=forest_digits", *_fields(**TREES)), ("fit", "grid", "save")),
    Case("vae x 2", VAE, ("compile", "evaluation", "grid", "save"), processes=2),
)
CHECKPOINTS = 2  # that a run has before it is stopped for a row of the table
LIMIT = 300.0  # seconds that a run may take
TOLD = 30.0  # seconds in which a process must notice that another is gone
LOST = 75


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
                program = [sys.executable, __file__, "--inject", *map(str, fault)]
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


# ---------------------------------------------------------------------------------------------------------------------
# Kills and signals, several to a run


class Shot(NamedTuple):
    """One signal, and when it comes."""

    signal: str
    place: str  # "" at any time
    nth: int
    when: float  # share of the run's time, or of a second after the call began
    victim: int  # process


def shots(rng, case, count):
    """The next signals for a case: kill -9 and SIGTERM four times in five, at any time and in each place in turns."""
    for _ in range(count):
        alone = ["SIGINT", "SIGHUP"] if case.processes == 1 else ["SIGKILL", "SIGTERM"]
        name = rng.choice(["SIGKILL", "SIGKILL", "SIGKILL", "SIGTERM", "SIGTERM", "SIGTERM", *alone])
        place = rng.choice(["", "", *case.places])
        yield Shot(name, place, rng.choice([1, 1, 2]), rng.random(), rng.randrange(case.processes))


EXPECTED = {"SIGKILL": {-9}, "SIGTERM": {143, -15}, "SIGINT": {130, -2}, "SIGHUP": {129, -1}}


def fire(shot, case, workdir, seconds, scratch):
    """One start with one signal. Returns what happened: a status, None where the run ended before it."""
    signum = getattr(signal, shot.signal)
    fault, cache = (), None
    if shot.place:
        delay = shot.when * (1.0 if shot.place in ("compile", "fit") else 0.3)
        nth = 1 if shot.place in ("compile", "fit") else shot.nth
        fault = (shot.place, nth, f"{shot.signal}:{delay:.3f}", "--")
        cache = scratch / "cold" if shot.place == "compile" else None
        if cache:
            shutil.rmtree(cache, ignore_errors=True)
    with Running(case, workdir, fault, shot.victim, cache=cache) as run:
        if not shot.place:
            if case.processes > 1:  # before they have met, one waits 300 s for the other
                run.until(lambda: (workdir / "lock").exists())
            time.sleep(shot.when * seconds)
            for process in run.processes[shot.victim : shot.victim + 1]:
                if process.poll() is None:
                    process.send_signal(signum)
        until(lambda: run.processes[shot.victim].poll() is not None)
        statuses = [run.processes[shot.victim].returncode]
        began = time.monotonic()
        others = [p for i, p in enumerate(run.processes) if i != shot.victim]
        if statuses[0] not in EXPECTED[shot.signal]:
            statuses = run.end()
            must(set(statuses) == {0}, f"{shot.signal}: {statuses}, {' '.join(run.lines(shot.victim))}")
            return None
        for other in others:
            until(lambda other=other: other.poll() is not None, TOLD, f"the other process after {shot.signal}")
            statuses.append(other.returncode)
        if others and shot.signal == "SIGKILL":
            must(set(statuses[1:]) <= {LOST, -signal.SIGABRT, 0}, f"the other ended with {statuses[1:]}")
        elif others:
            must(set(statuses[1:]) <= {143, LOST, 0}, f"the other ended with {statuses[1:]}")
        for i in range(case.processes):
            must(shot.signal == "SIGINT" or "Traceback" not in run.error(i), f"a traceback after {shot.signal}")
        took = f" {time.monotonic() - began:.0f} s later" if others else ""
        return f"{', '.join(map(str, statuses))}{took}"


def kills(case, shots, folder, reference, seconds, say):
    """Does them to one run after another; returns how many of each there were."""
    done, fresh = {}, 0
    workdir = folder / "run"
    for shot in shots:
        for _ in range(4):  # one that came after the end is tried on a new run
            happened = fire(shot, case, workdir, seconds, folder)
            step = max(committed(workdir), default=0)
            where = f"in {shot.place}" if shot.place else "at any time"
            say(f"  {shot.signal} {where}: {'the run was done' if happened is None else happened} · step {step}")
            if happened is not None:
                key = f"{shot.signal} {where}"
                done[key] = done.get(key, 0) + 1
                break
            compare(workdir, reference)
            fresh += 1
            workdir = folder / f"run{fresh}"
    go_on(case, workdir)
    compare(workdir, reference)
    return done


# ---------------------------------------------------------------------------------------------------------------------
# The other faults: a function (case, workdir) does one to a run, up to where the same command is to go on


def frozen(case, workdir):
    """SIGSTOP for 3 s; of two processes, one is not woken."""
    with Running(case, workdir) as run:
        must(run.saved(), "it ended")
        victim = run.processes[-1]
        victim.send_signal(signal.SIGSTOP)
        if case.processes == 1:
            time.sleep(3)
            victim.send_signal(signal.SIGCONT)
            must(run.end() == [0], "it did not go on")
            return
        until(lambda: run.processes[0].poll() is not None, TOLD, "the other process")
        victim.send_signal(signal.SIGCONT)
        must(run.end(TOLD) == [LOST, LOST], f"they ended with {[p.returncode for p in run.processes]}")


def failing(run, status, words):
    statuses = run.end()
    must(statuses == [status], f"it ended with {statuses}")
    lines = run.lines()
    must(len(lines) == 1 and any(word in lines[0] for word in words), f"it said {lines}")
    must("Traceback" not in run.error(), f"a traceback: {run.error()[-600:]}")


def small_files(case, workdir):
    """No file may grow beyond 64 kB (RLIMIT_FSIZE), from the second checkpoint on; what it prints is a file, too."""
    with Running(case, workdir) as run:
        must(run.saved(), "it ended")
        resource.prlimit(run.processes[0].pid, resource.RLIMIT_FSIZE, (2**16, 2**16))
        failing(run, 1, ["File too large"])


def full_disk(case, workdir):
    """A file system of its own (tmpfs), filled to its last byte from the second checkpoint on."""
    workdir.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", workdir], capture_output=True)
    if mounted.returncode:
        workdir.rmdir()
        return "not run: no file system can be mounted here"
    try:
        inside = workdir / "run"
        with Running(case, inside) as run:
            must(run.saved(), "it ended")
            with open(workdir / "ballast", "wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            failing(run, 1, ["disk full"])
        (workdir / "ballast").unlink()
        go_on(case, inside)
        shutil.copytree(inside, workdir.with_name("copied"))
    finally:
        subprocess.run(["umount", workdir], check=True)
    workdir.rmdir()
    workdir.with_name("copied").rename(workdir)
    return None


def _as_user():
    """Takes root's right to write everywhere (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH) from what is started."""
    libc = ctypes.CDLL(None)
    for capability in (1, 2):
        libc.prctl(24, capability, 0, 0, 0)


def read_only(case, workdir):
    """The run directory may only be read: refused at once, nothing changed."""
    stopped(case, workdir)
    everything = [workdir, *workdir.rglob("*")]
    before = {path: path.stat().st_mtime_ns for path in everything if path.is_file()}
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    with Running(case, workdir, options={"preexec_fn": _as_user}) as run:
        failing(run, 2, ["Permission denied", "Read-only"])
    for path in everything:
        path.chmod(0o755 if path.is_dir() else 0o644)
    must({path: path.stat().st_mtime_ns for path in before} == before, "a file changed")


def removed(case, workdir):
    """The run directory is removed while it trains."""
    with Running(case, workdir) as run:
        must(run.saved(), "it ended")
        while workdir.exists():
            shutil.rmtree(workdir, ignore_errors=True)
        failing(run, 1, ["removed", "No such file"])
    must(not workdir.exists(), f"left: {sorted(workdir.rglob('*')) if workdir.exists() else ''}")


def _largest(checkpoint):
    return max((p for p in checkpoint.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def _flip(checkpoint):
    file = _largest(checkpoint)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)


def _halve(checkpoint):
    file = _largest(checkpoint)
    os.truncate(file, file.stat().st_size // 2)


def _zero(checkpoint):
    file = _largest(checkpoint)
    file.write_bytes(bytes(file.stat().st_size))


def _empty(checkpoint):
    shutil.rmtree(checkpoint)
    checkpoint.mkdir()


def damaged(damage):
    """The newest checkpoint is damaged: said, set aside, the one before it used."""

    def fault(case, workdir):
        stopped(case, workdir)
        newest = committed(workdir)[-1]
        damage(workdir / "checkpoints" / str(newest))
        run = go_on(case, workdir)
        must("is damaged" in run.error() and "set aside" in run.error(), "it was not told")
        must((workdir / "checkpoints" / f"{newest}.damaged").is_dir(), "it was not set aside")

    return fault


def torn(case, workdir):
    """The last rows of all .jsonl files are half-written."""
    stopped(case, workdir)
    for name in ("metrics.jsonl", "timing.jsonl", "evaluations.jsonl"):
        with open(workdir / name, "ab") as file:
            file.write(b'{"step": 50, "metric": "fd_ran')


def twice(case, workdir):
    """Started a second time in the same directory while it trains."""
    with Running(case, workdir) as first:
        must(first.saved(1), "it ended")
        first.processes[0].send_signal(signal.SIGSTOP)  # so that it has not ended before the second has begun
        with Running(case, workdir) as second:
            failing(second, 2, ["is being trained by another process"])
        first.processes[0].send_signal(signal.SIGCONT)
        must(first.end() == [0], "the first was disturbed")


def not_a_number(case, workdir):
    """Parameters that are no numbers, from the 23rd update on: it ends, with the last good checkpoint."""
    with Running(case, workdir, ("update", 23, "nan", "--")) as run:
        failing(run, 1, ["non-finite loss at step"])
    must(committed(workdir)[-1] == 20 and (workdir / "FAILED.txt").exists(), "the last good checkpoint is not the last")


def clock(seconds):
    """The clock jumps, from the second checkpoint on; what was written until then is from that time."""

    def fault(case, workdir):
        with Running(case, workdir, ("save", 2, f"clock:{seconds}", "--")) as run:
            must(run.saved(4), "it ended")
        for path in workdir.rglob("*"):
            os.utime(path, (time.time() + seconds, time.time() + seconds))
        go_on(case, workdir)
        rows = [json.loads(line) for line in (workdir / "timing.jsonl").read_text().splitlines()]
        must(all(row["images_per_second"] >= 0 and row["seconds"] >= 0 for row in rows), "a negative rate")

    return fault


ROWS = {
    "SIGSTOP for 3 s": frozen,
    "no file may grow": small_files,
    "disk full (tmpfs)": full_disk,
    "read-only directory": read_only,
    "directory removed": removed,
    "newest checkpoint: a bit flipped": damaged(_flip),
    "newest checkpoint: truncated": damaged(_halve),
    "newest checkpoint: zeros": damaged(_zero),
    "newest checkpoint: a file missing": damaged(lambda path: (path / "meta/metadata").unlink()),
    "newest checkpoint: emptied": damaged(_empty),
    "torn rows": torn,
    "two commands on one directory": twice,
    "parameters that are no numbers": not_a_number,
    "clock a day ahead": clock(86400),
    "clock a day back": clock(-86400),
}


# ---------------------------------------------------------------------------------------------------------------------
# A sweep: child, parent and both killed


SWEEP = [*VAE, "--config.optimizer.learning_rate=1e-3,3e-3", "--seeds=2", "--parallel=2"]


def sweep(folder):
    def start():
        command = [sys.executable, "-m", "gen_jax", "sweep", str(folder), *SWEEP]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def children(parent):
        return [int(pid) for pid in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()]

    def saved(more, *, parent):
        count = lambda: sum(len(list(path.iterdir())) for path in folder.glob("trials/*/checkpoints"))
        wanted = count() + more
        until(lambda: count() >= wanted or parent.poll() is not None, what="the sweep")

    def kill(*pids):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    parent = start()
    saved(2, parent=parent)
    kill(*children(parent)[:1])
    saved(2, parent=parent)
    kill(parent.pid)
    parent.wait()
    parent = start()
    saved(1, parent=parent)
    kill(parent.pid, *children(parent))
    parent.wait()
    last = start()
    until(lambda: last.poll() is not None, what="the sweep")
    must(last.returncode == 0, f"the same command ended the sweep with {last.returncode}")
    must(len(list(folder.glob("trials/*/DONE"))) == len(list(folder.glob("trials/*"))) == 4, "runs are missing")


# ---------------------------------------------------------------------------------------------------------------------
# The campaign


class Item(NamedTuple):
    """One line of the tally, before it is one."""

    id: str
    row: str
    case: Case
    do: Callable[[Path, Path, float], dict | str | None]  # (folder, reference, seconds of the reference)


A_RUN = 5  # kills that one run takes


def items(count, seed, names, rows, say):
    """What is to be done, in order: kills on all cases in turns, then the rows, each on one case."""
    rng = random.Random(seed)
    cases = [case for case in CASES if not names or case.name in names]
    for i, first in enumerate(range(0, count, A_RUN)):
        case = cases[i % len(cases)]
        mine = list(shots(rng, case, min(A_RUN, count - first)))
        do = lambda folder, reference, seconds, case=case, mine=mine: kills(case, mine, folder, reference, seconds, say)
        yield Item(f"kills-{seed}-{first:03d}-{case.name}", "kills and signals", case, do)
    learners = [case for case in cases if case.processes == 1 and case.name != "forest"]
    for i, (row, fault) in enumerate(ROWS.items()):
        if rows is not None and row not in rows:
            continue
        for case in [learners[i % len(learners)], *([c for c in cases if c.processes > 1] if fault is frozen else [])]:

            def do(folder, reference, seconds, case=case, row=row, fault=fault):
                if note := fault(case, folder / "run"):
                    return note
                if not (folder / "run/DONE").exists():
                    go_on(case, folder / "run")
                compare(folder / "run", reference)
                return {row: 1}

            yield Item(f"{row}-{case.name}", row, case, do)
    if rows is None or "sweep" in rows:

        def do(folder, reference, seconds):
            sweep(folder / "sweep")
            for path in sorted((folder / "sweep/trials").iterdir()):
                rate, seed = (word.partition("=")[2] for word in path.name.partition("-")[2].split(","))
                fields = _fields(optimizer__learning_rate=rate, seed=seed)
                alone = Case("vae", (*VAE, *fields), ())
                go_on(alone, folder / f"alone-{path.name}")
                compare(path, folder / f"alone-{path.name}")
            return {"child, parent and both killed": 1}

        yield Item("sweep", "sweep of four runs", CASES[0], do)


def undisturbed(case, folder):
    """The run that nothing is done to, and how long it takes."""
    workdir = folder / "reference" / case.name.replace(" ", "")
    workdir.parent.mkdir(parents=True, exist_ok=True)
    if not (workdir / "seconds").exists():
        shutil.rmtree(workdir, ignore_errors=True)
        go_on(case, workdir)  # compiles, for all that follow
        shutil.rmtree(workdir)
        (workdir / "seconds").write_text(f"{go_on(case, workdir).seconds:.1f}\n")
    return workdir, float((workdir / "seconds").read_text())


def table(found):
    """Of the tally, as Markdown."""
    counts = {}
    for line in found:
        for what, times in line["done"].items() if line["done"] else [(line["note"] or "", 0)]:
            key = (line["row"] if line["row"] == what or not what else f"{line['row']}: {what}", line["case"])
            done, lost = counts.get(key, (0, 0))
            counts[key] = (done + times, lost + bool(line["lost"]))
    lines = ["| fault | run | times | lost |", "| --- | --- | --- | --- |"]
    lines += [f"| {row} | {case} | {done} | {lost} |" for (row, case), (done, lost) in sorted(counts.items())]
    total = sum(done for done, _ in counts.values())
    return "\n".join(
        [*lines, f"\n{total} faults, {sum(bool(line['lost']) for line in found)} rows in which something was lost"]
    )


def main(words=None) -> int:
    words = sys.argv[1:] if words is None else words
    if words[:1] == ["--inject"]:
        place, nth, what, _, *rest = words[1:]
        return inject(place, int(nth), what, rest)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the runs and the tally go")
    parser.add_argument("--kills", type=int, default=100, help="kills and signals")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", nargs="*", help=f"only these of: {', '.join(case.name for case in CASES)}")
    parser.add_argument("--rows", nargs="*", help=f"only these of: {', '.join([*ROWS, 'sweep'])}")
    asked = parser.parse_args(words)
    folder = asked.folder
    folder.mkdir(parents=True, exist_ok=True)
    say = lambda line: print(line, flush=True)
    tally = folder / "tally.jsonl"
    began = time.monotonic()
    found = [json.loads(line) for line in tally.read_text().splitlines()] if tally.exists() else []
    for item in items(asked.kills, asked.seed, asked.cases, asked.rows, say):
        if any(line["id"] == item.id for line in found):
            continue
        here = folder / "now"
        shutil.rmtree(here, ignore_errors=True)
        here.mkdir()
        line = {"id": item.id, "row": item.row, "case": item.case.name, "done": {}, "note": "", "lost": ""}
        try:
            reference, seconds = undisturbed(item.case, folder)
            say(f"{time.monotonic() - began:5.0f} s · {item.id}")
            done = item.do(here, reference, seconds)
            line |= {"note": done} if isinstance(done, str) else {"done": done}
        except Lost as lost:
            line["lost"] = str(lost)
            line["done"] = {item.row: 1}
            shutil.rmtree(folder / "lost" / item.id, ignore_errors=True)
            shutil.copytree(here, folder / "lost" / item.id)
        say(f"        {line['lost'] or line['note'] or 'nothing lost'}")
        found.append(line)
        with open(tally, "a") as file:
            file.write(json.dumps(line) + "\n")
    shutil.rmtree(folder / "now", ignore_errors=True)
    (folder / "tally.md").write_text(table(found) + "\n")
    say(table(found))
    return int(any(line["lost"] for line in found))


if __name__ == "__main__":
    sys.exit(main())
