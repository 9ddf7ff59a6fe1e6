"""The parent of a sweep: it starts runs, watches them, starts again what was killed, and writes what came out.

It keeps nothing that it could not read again from the run directories, so it may be killed at any moment; the same
command goes on.
"""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from gen_jax.errors import InputError
from gen_jax.runtime import hangup
from gen_jax.runtime.logbook import write_text
from gen_jax.sweep import prune, results, workers
from gen_jax.sweep.grammar import Overrides
from gen_jax.sweep.plan import Plan, Run, runs_of
from gen_jax.sweep.state import PRUNED, curve, final, held, hopeless, reached, seen
from gen_jax.sweep.workers import Child

POLL = 0.2  # seconds
WATCH = 1.0  # seconds between two looks at the curves
SAME_REFUSALS = 3  # in a row: what is wrong is no matter of the cell


class Source(Protocol):
    """Where cells come from."""

    def cells(self) -> list[tuple[int, Overrides]]:
        """Those that are known to be run: number and overrides."""

    def ask(self) -> tuple[int, Overrides] | None:
        """One more, None where there is none."""

    def tell(self, number: int, state: str, value: float | None, curve: prune.Curve) -> None:
        """A cell is over: done, pruned or failed."""


class Grid:
    """The cells of a plan, known from the start."""

    def __init__(self, plan: Plan):
        self._cells = list(enumerate(plan.cells))

    def cells(self) -> list[tuple[int, Overrides]]:
        """All."""
        return self._cells

    def ask(self) -> None:
        """None."""

    def tell(self, number, state, value, curve) -> None:
        """Nobody."""


@contextmanager
def collected() -> Iterator[list[int]]:
    """Collects SIGTERM, Ctrl-C and the end of the terminal; every one of them is in the list."""
    asked, before = [], {}

    def handler(signum, frame):
        if signum == signal.SIGHUP:
            hangup.silence()
        asked.append(signum)

    with suppress(ValueError):  # not in the main thread
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signum != signal.SIGHUP or hangup.answered():
                before[signum] = signal.signal(signum, handler)
    try:
        yield asked
    finally:
        for signum, old in before.items():
            signal.signal(signum, old)


class Driver:
    """One pass over a sweep, up to its end or to a signal."""

    def __init__(self, plan: Plan, folder: Path, source: Source, slots: Sequence[dict], tell: Callable[[str], None]):
        self.plan, self.folder, self.source, self.tell = plan, folder, source, tell
        self.free = dict(enumerate(slots))
        self.cells: dict[int, list[Run]] = {}
        self.waiting: list[Run] = []
        self.running: list[Child] = []
        self.over: dict[Run, tuple[str, str]] = {}  # state and why
        self.tries: dict[Run, int] = {}
        self.pruning: dict[int, str] = {}  # cell -> why
        self.refusals: list[str] = []
        self.before: set[Run] = set()  # done when it began
        self.watched = self.written = 0.0
        self.metric = plan.metric
        for number, cell in source.cells():
            self.add(number, cell)

    def add(self, number: int, cell: Overrides) -> None:
        """A cell to run, or to go on with."""
        if number not in self.cells:
            self.cells[number] = runs_of(self.plan, self.folder, number, cell)
            self.waiting += self.cells[number]
            # One seed that was pruned is its cell: the others are not begun.
            why = next((now.why for run in self.cells[number] if (now := seen(run.path)).state == "pruned"), "")
            if why:
                self.pruning[number] = why

    def run(self) -> int:
        """Drives to the end. Returns the number of the signal that stopped it, 0 where none did.

        Raises:
          InputError: the metric is logged by no run, or every run is refused for the same reason.
        """
        self.before = {run for run in self.waiting if seen(run.path).state == "done"}
        if self.before:
            self.tell(f"{len(self.before)} of {self.total} runs are done already")
        with collected() as asked:
            try:
                while not asked:
                    self.reap()
                    self.watch()
                    self.fill()
                    if not self.running and not self.waiting:
                        for found in self.source.cells():  # what other parents asked for meanwhile
                            self.add(*found)
                        if not self.waiting:
                            break
                    time.sleep(POLL)
            finally:
                self.stop(asked)
        self.write()
        return asked[0] if asked else 0

    def stop(self, asked: list[int]) -> None:
        """Asks all children to save, and waits for them; a second signal ends them at once."""
        told = 0
        while self.running:
            if told < max(1, len(asked)) and told < 2:
                told += 1
                for child in self.running:
                    with suppress(ProcessLookupError):
                        child.process.terminate()
            time.sleep(POLL / 4)
            for child in [c for c in self.running if c.process.poll() is not None]:
                self.release(child)

    def release(self, child: Child) -> None:
        """Its process has ended: its slot and its log are free."""
        self.running.remove(child)
        self.free[child.slot] = child.environment
        child.claim.close()

    def fill(self) -> None:
        """Starts what can be started; what somebody else drives is looked at again later."""
        for run in list(self.waiting):
            if not self.free:
                return
            self.consider(run)
        while self.free and (found := self.source.ask()):
            self.add(*found)
            for run in self.cells[found[0]]:
                if self.free:
                    self.consider(run)

    def consider(self, run: Run) -> None:
        """Starts a run, or settles it where there is nothing left to do, or leaves it to who has it."""
        if seen(run.path).state == "done":
            self.settle(run, "done")
            return
        claim = workers.claim(run)
        if claim is None:
            return
        now = seen(run.path)  # it may have ended between the two
        why = now.why or self.pruning.get(run.cell, "")
        if now.state == "done":
            self.settle(run, "done")
        elif run.cell in self.pruning or now.state == "pruned":  # by another parent, too
            self.pruning.setdefault(run.cell, why)
            self.settle(run, "pruned", why)
        elif now.state == "failed" and hopeless(why):
            self.settle(run, "failed", why)
        elif not held(run.path / "lock"):  # by a gen-jax train of somebody else
            self.waiting.remove(run)
            slot = min(self.free)
            self.running.append(workers.start(run, claim, slot, self.free.pop(slot)))
            return
        claim.close()

    def reap(self) -> None:
        """Looks at the processes that have ended."""
        for child in list(self.running):
            status = child.process.poll()
            if status is None:
                continue
            self.release(child)
            run, now = child.run, seen(child.run.path)
            if status == 0 and now.state == "done":
                self.settle(run, "done")
            elif run.cell in self.pruning:
                with suppress(OSError):
                    write_text(run.path / PRUNED, self.pruning[run.cell] + "\n")
                self.settle(run, "pruned", self.pruning[run.cell])
            elif status == 2 and held(run.path / "lock"):  # somebody else was quicker
                self.waiting.append(run)
            else:
                self.ended(child, status, now)

    def ended(self, child: Child, status: int, now) -> None:
        """A process has ended before its run."""
        run, progressed = child.run, now.step > child.began
        why = now.why or workers.last_line(run.log)
        tries = 0 if workers.killed(status) and progressed else self.tries.get(run, 0)
        if workers.again(status, why, progressed, tries):
            self.tries[run] = tries + 1
            self.waiting.insert(0, run)
            self.tell(f"{run.name} {workers.in_words(status)} at step {now.step}; it goes on")
            return
        self.settle(run, "failed", f"{workers.in_words(status)}: {why}" if status != 1 else why)
        self.refusals = [*self.refusals, why] if status == 2 else []
        if len(self.refusals) >= SAME_REFUSALS and len({*self.refusals[-SAME_REFUSALS:]}) == 1:
            raise InputError(f"{SAME_REFUSALS} runs in a row are refused: {why}")

    def settle(self, run: Run, state: str, why: str = "") -> None:
        """A run is over."""
        if run in self.waiting:
            self.waiting.remove(run)
        self.over[run] = (state, why)
        value = reached(run.path, self.metric) if state == "done" else None
        said = f" · {self.metric} {value:.4g}" if value is not None else f": {why}" if why else ""
        if run not in self.before:
            self.tell(f"{run.name} {state}{said} · {len(self.over)}/{self.total}")
        runs = self.cells[run.cell]
        if all(r in self.over for r in runs):
            states = {self.over[r][0] for r in runs}
            state = next(s for s in ("failed", "pruned", "done") if s in states)
            values = [final(r.path, self.metric) for r in runs] if state == "done" and self.metric else []
            mean = sum(values) / len(values) if values else None
            self.source.tell(run.cell, state, mean, self.mean_curve(run.cell))
        if time.monotonic() - self.written > 5.0:  # of thousands of runs, all are read each time
            self.write()

    def watch(self) -> None:
        """Once a second, looks at the curves of what runs and prunes."""
        if self.plan.prune == "none" or not self.running or time.monotonic() - self.watched < WATCH:
            return
        self.watched = time.monotonic()
        curves = {number: self.mean_curve(number) for number in self.cells}
        direction = self.plan.direction or results.direction_of(self.metric)
        for number in {child.run.cell for child in self.running} - self.pruning.keys():
            others = [c for other, c in curves.items() if other != number and c]
            why = prune.reason(self.plan.prune, curves[number], others, self.steps, direction)
            if why:
                self.pruning[number] = why
                for child in self.running:
                    if child.run.cell == number:
                        child.process.terminate()

    @property
    def total(self) -> int:
        """Runs in all, those of a search that are not asked for yet among them."""
        return max(self.plan.trials, len(self.cells)) * self.plan.seeds

    @property
    def steps(self) -> int:
        """Of a whole run; of cells that differ in it, the longest."""
        from gen_jax.config import load
        from gen_jax.length import length

        if not hasattr(self, "_steps"):
            self._steps = length(load(self.plan.config, self.plan.fixed)).steps
        return self._steps

    def mean_curve(self, number: int) -> prune.Curve:
        """The curve of a cell, the mean over its seeds."""
        return prune.mean_curve([curve(run.path, self.metric) for run in self.cells[number]] if self.metric else [])

    def write(self) -> None:
        """Writes what is known of the results."""
        self.written = time.monotonic()
        results.write(self.folder, results.collect(self.plan, list(self.cells.values())))
