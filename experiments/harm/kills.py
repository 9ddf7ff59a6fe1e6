"""Kills and signals, several to a run: at any time, and while it compiles, judges, draws a grid, saves or fits."""

import shutil
import signal
import time
from typing import NamedTuple

from harm.runs import LOST, TOLD, Running, committed, compare, go_on, must, until


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
