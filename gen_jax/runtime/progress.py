"""The terminal: a line that moves where there is one, a plain line every ten seconds where not."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
from tqdm import tqdm

from gen_jax.runtime.performance import Meter, told
from gen_jax.version import __version__

PLAIN_EVERY = 10.0
FIRST_WITHIN = 60.0  # a plain line waits so long for the first metrics: without them it says little


def duration(seconds: float) -> str:
    """h:mm:ss."""
    seconds = int(seconds)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def short(number: int) -> str:
    """A count for people: 950, 12k, 1.2M."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return str(number)


def opening(config, program, workdir: Path, state, start: int) -> Iterator[str]:
    """The lines that a run begins with."""
    sizes = {name: sum(x.size for x in jax.tree.leaves(p)) for name, p in state.params.items()}
    parts = " · ".join(f"{name} {short(size)}" for name, size in sizes.items()) or "no"
    spec = program.dataset.spec
    yield f"gen_jax {__version__} · run {workdir} · {program.mesh.size} x {program.mesh.devices.flat[0].platform}"
    yield f"{parts} parameters · {spec.size:,} images {'x'.join(map(str, spec.shape))} · batch {config.data.batch_size}"
    yield from program.dataset.remarks
    if start:
        yield f"resumed at step {start}"


def _bar(total: int, start: int, show: bool) -> tqdm:
    return tqdm(
        total=total, initial=start, file=sys.stderr, bar_format="{desc} |{bar:20}|", leave=False,
        mininterval=0.2, disable=not (show and sys.stderr.isatty()),
    )  # fmt: skip


class Progress:
    """Shows where a run is. Goes to stderr; silent where `show` is False."""

    def __init__(self, total: int, start: int, batch_size: int, show: bool = True):
        self._total, self._start, self._batch_size, self._show = total, start, batch_size, show
        self._began = self._plain_at = time.monotonic()
        self._paused = 0.0
        self._metrics = self._speed = ""
        self._meter = None
        self._bar = _bar(total, start, show)
        self.images_per_second = 0.0

    def say(self, line: str) -> None:
        """A line that stays."""
        if self._show:
            self._bar.write(line, file=sys.stderr)

    def measuring(self, program):
        """The Program, with a clock at its update; `timing` then tells what it showed."""
        self._meter = Meter(program, self._start)
        return self._meter.program

    def pause(self, began: float) -> float:
        """Takes the time since `began`, spent on something else (compiling, drawing), out of the rate; returns it."""
        seconds = time.monotonic() - began
        self._paused += seconds
        if self._meter:
            self._meter.pause(seconds)
        return seconds

    def elapsed(self) -> float:
        """Seconds since the loop began."""
        return time.monotonic() - self._began

    def timing(self, step: int) -> dict:
        """A row of timing.jsonl."""
        rate = round(self.images_per_second, 1)
        row = self._meter.row() if self._meter else {}
        self._speed = f" | {speed}" if row and (speed := told(row)) else self._speed
        short = {name: float(f"{x:.4g}") if isinstance(x, float) else x for name, x in row.items()}
        return {"step": step, "seconds": round(self.elapsed(), 3), "images_per_second": rate, **short}

    def metrics(self, row: dict) -> None:
        """The latest numbers, shown with the next update."""
        self._metrics = " ".join(f"{name} {value:.3g}" for name, value in row.items() if name != "step")

    def update(self, step: int) -> str | None:
        """Shows `step`. Returns the plain line when one is due, for the log."""
        now = time.monotonic()
        spent = max(now - self._began - self._paused, 1e-9)
        rate = (step - self._start) / spent
        self.images_per_second = rate * self._batch_size
        left = duration((self._total - step) / rate) if rate else "?"
        line = (
            f"step {step:>{len(str(self._total))}}/{self._total} {100 * step // self._total:>3}%"
            f" | {self.images_per_second:,.0f} img/s{self._speed} | eta {left} | {self._metrics}"
        )
        if not self._bar.disable:
            self._bar.set_description_str(line, refresh=False)
            self._bar.update(step - self._bar.n)
        wait = PLAIN_EVERY if self._metrics else FIRST_WITHIN
        if now - self._plain_at < wait and step < self._total:
            return None
        self._plain_at = now
        if self._bar.disable and self._show:
            print(line, file=sys.stderr, flush=True)
        return line

    def close(self) -> None:
        """Clears the moving line."""
        self._bar.close()


def say(line: str) -> None:
    """A line on stderr that stays, above the one that moves where there is one."""
    tqdm.write(line, file=sys.stderr)


# (stage, parts done, parts in all): what long work says of itself. The first call of a stage starts its clock.
Tell = Callable[[str, int, int], None]


def quiet(stage: str, done: int, total: int) -> None:
    """A Tell that says nothing."""


class Stages:
    """A Tell that shows work of several stages on stderr, and how long the present one still takes."""

    def __init__(self):
        self._bar = _bar(1, 0, show=True)
        self._stage, self._began, self._first, self._plain_at = "", 0.0, 0, time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Shows that `done` of the `total` parts of `stage` are done."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._began, self._first = stage, now, done
        new = done - self._first
        left = duration((now - self._began) / new * (total - done)) if new > 0 else "?"
        line = f"{stage} {done:,}/{total:,} {100 * done // total:>3}% | eta {left}"
        if not self._bar.disable:
            self._bar.total, self._bar.n = total, done
            self._bar.set_description_str(line)
        elif now - self._plain_at >= PLAIN_EVERY:
            self._plain_at = now
            print(line, file=sys.stderr, flush=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bar.close()
