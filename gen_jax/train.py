"""train(config, workdir): the loop, for every Method.

It asks a Method for `step` and `sample` by name and knows no family. All that it changes is in the
State, so a checkpoint of it at any step and the same command give the run that was never interrupted,
bit for bit.
"""

import json
import signal
import time
import traceback
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from gen_jax import schedules
from gen_jax.config import flatten, to_json
from gen_jax.data.images import evenly
from gen_jax.errors import InputError, Interrupted
from gen_jax.evaluation.during_training import grounds, judging
from gen_jax.method import State
from gen_jax.program import Program, build
from gen_jax.provenance.pictures import grid, record, write_png
from gen_jax.runtime import checkpoint, logbook
from gen_jax.runtime.progress import Progress, duration
from gen_jax.sample import sampler
from gen_jax.version import __version__

# What may change when a run goes on: how long and how often, not what is computed.
FREE = (
    "train.steps",
    "train.log_every",
    "train.sample_every",
    "train.checkpoint_every",
    "train.evaluate_every",
    "train.keep_checkpoints",
)
GRID = 64


class Failed(RuntimeError):
    """The run ended before its time; FAILED.txt says why."""


class NonFinite(Failed):
    """A loss or the state stopped being finite: the run ends, the last good checkpoint stays."""


class Result(NamedTuple):
    """How a run ended: the last State, and the Program that made it."""

    state: State
    program: Program


def train(config, workdir: Path, *, say=None, name: str = "", overrides: Mapping[str, str] | None = None) -> Result:
    """Trains `config` in `workdir`, from its latest checkpoint where there is one.

    Args:
      config: a checked config (`gen_jax.config.load`).
      workdir: the run directory; made if it is not there.
      say: None for silence, True for progress on stderr.
      name, overrides: how the config was asked for, written down for the reader.

    Raises:
      InputError: the config, the data or the directory cannot be used; nothing has been changed.
      NonFinite: a loss is no longer finite; FAILED.txt says which.
      Interrupted: SIGTERM or Ctrl-C came; the state has been saved.
    """
    workdir = Path(workdir)
    per_call = config.train.steps_per_call
    for field in ("steps", "log_every", "sample_every", "checkpoint_every", "evaluate_every"):
        if config.train[field] % per_call:
            raise InputError(
                f"train.{field}={config.train[field]}: must be a multiple of train.steps_per_call={per_call}"
            )
    if config.train.evaluate_every and jax.process_count() > 1:
        raise InputError("train.evaluate_every: not with several processes yet; evaluate the run afterwards")
    check_same_run(config, workdir)
    program = build(config)
    check_same_data(program.dataset, workdir)
    ground = grounds(config, program, train) if config.train.evaluate_every and program.method.sample else None
    main = jax.process_index() == 0
    with ExitStack() as stack:
        _together(lambda: _claim(stack, config, workdir, name, overrides, program.dataset) if main else None)
        saved = stack.enter_context(checkpoint.opened(workdir / "checkpoints", keep=config.train.keep_checkpoints))
        damage = []
        state, _, start = saved.latest(program.abstract, damage.append) or (program.init(), {}, 0)
        if start == config.train.steps and (workdir / "DONE").exists():
            if say:
                Progress(start, start, 1, main).say(f"already done · {workdir}")
            return Result(state, program)
        book = None
        if main:
            _begin(workdir, start)
            book = logbook.Logbook(workdir, start)
            stack.callback(book.close)
        progress = Progress(config.train.steps, start, config.data.batch_size, show=bool(say) and main)
        stack.callback(progress.close)

        def tell(line):
            progress.say(line)
            if book:
                book.log(line)

        for line in [*_opening(config, program, workdir, state), *damage]:
            tell(line)
        if start:
            tell(f"resumed at step {start}")
        run = _Run(config, workdir, program, saved, book, progress, tell)
        if ground:
            run.judge = stack.enter_context(judging(ground, config, workdir, program, run.sampler, start))
        try:
            state = run.loop(state)
        except NonFinite as error:
            saved.wait()
            good = saved.steps()
            message = f"{error}; last good checkpoint {good[-1] if good else 'none'}"
            if main:
                logbook.write_text(workdir / "FAILED.txt", message + "\n")
            raise NonFinite(message) from None
        except Interrupted:
            raise
        except Exception as error:
            if main:
                logbook.write_text(workdir / "FAILED.txt", traceback.format_exc())
            raise Failed(f"{type(error).__name__}: {error}") from error
        saved.wait()
        if main:
            logbook.write_text(workdir / "DONE", f"{config.train.steps}\n")
            verb = "sample" if program.method.sample else "evaluate"
            tell(f"done {duration(run.elapsed())} · {workdir} · next: gen-jax {verb} --run={workdir}")
    return Result(state, program)


class _Run:
    """The loop with what it reports to. Nothing here decides what is computed: that is all in the State."""

    def __init__(self, config, workdir, program, saved, book, progress, tell):
        self.config, self.workdir, self.program = config, workdir, program
        self.saved, self.book, self.progress, self.tell = saved, book, progress, tell
        self.sampler = sampler(program.method, mesh=program.mesh) if program.method.sample else None
        self.unread = []  # (step, metrics on the device), of steps not yet looked at
        self.judge = None  # (state, step) -> one line about the scores
        self.began = time.monotonic()

    def elapsed(self):
        return time.monotonic() - self.began

    def loop(self, state):
        train, program = self.config.train, self.program
        step, total = int(state.step), train.steps
        if step == 0:
            self.draw_reals()
        compiled = set()
        with _signals() as asked:
            for feed in program.feeds(step, total, train.steps_per_call):
                count = min(train.steps_per_call, total - step)
                variants = program.variants(step, count)
                began = time.monotonic()
                state, metrics = program.update(state, feed, variants)
                if variants not in compiled:
                    compiled.add(variants)
                    jax.block_until_ready(state.step)
                    self.progress.pause(time.monotonic() - began)
                    self.tell(f"compiling {time.monotonic() - began:.1f} s")
                # One call is under way while the next is prepared, and never more: a signal must not wait for a
                # queue of steps that were asked for long ago. What is read is read late: the device never waits.
                if self.unread:
                    jax.block_until_ready(self.unread[-1])
                if self.unread and self.unread[-1][0] % train.log_every == 0:
                    self.read()
                self.unread.append((step + count, metrics))
                step += count
                stop = self.must_stop(asked, step // train.steps_per_call)
                # Drawn before it is saved: a kill between the two draws the same grid again, and loses none.
                if step == total or (train.sample_every and step % train.sample_every == 0):
                    self.draw(state, step)
                if self.judge and (step == total or step % train.evaluate_every == 0):
                    began = time.monotonic()
                    self.tell(self.judge(state, step))
                    self.progress.pause(time.monotonic() - began)
                if stop or step == total or (train.checkpoint_every and step % train.checkpoint_every == 0):
                    self.save(state, step)
                if stop:
                    self.saved.wait()
                    raise Interrupted(asked[0] if asked else signal.SIGTERM, step)
                line = self.progress.update(step)
                if line and self.book:
                    self.book.log(line)
        return state

    @staticmethod
    def must_stop(asked, call):
        """Whether to save and stop: of several processes all at one call, whichever was told."""
        if jax.process_count() == 1:
            return bool(asked)
        return multihost_utils.reached_preemption_sync_point(call)

    def read(self):
        """Reads the metrics that wait, writes the rows that are due, and stops at a number that is none."""
        for last, metrics in jax.device_get(self.unread):
            count = len(next(iter(metrics.values())).total)
            for i, step in enumerate(range(last - count + 1, last + 1)):
                row = {"step": step}
                for name, value in metrics.items():
                    if value.count[i]:
                        row[name] = float(value.total[i]) / float(value.count[i])
                bad = [name for name, value in row.items() if not np.isfinite(value)]
                if bad:
                    # A sum is not finite where a part is not: the parts are the ones to look at.
                    terms = [name for name in bad if name != "loss"] or bad
                    raise NonFinite(f"non-finite loss at step {step} (term: {', '.join(terms)})")
                if self.book and (step % self.config.train.log_every == 0 or step == self.config.train.steps):
                    self.book.metrics(row)
                    self.book.timing(
                        {
                            "step": step,
                            "seconds": round(self.elapsed(), 3),
                            "images_per_second": round(self.progress.images_per_second, 1),
                        }
                    )
                    self.progress.metrics(row)
        self.unread = []

    def save(self, state, step):
        """Saves `state`, once its numbers are known to be finite and the rows up to it are on disk."""
        self.read()
        if not bool(_finite(state)):
            raise NonFinite(f"non-finite loss at step {step} (term: the updated parameters)")
        if self.book:
            self.book.flush()
        self.saved.save(step, state, {"step": step, "version": __version__})

    def draw_reals(self):
        if self.book:
            batch = self.program.dataset.gather(evenly(self.program.dataset.spec.size, GRID))
            write_png(self.workdir / "reals.png", grid(batch["image"]), {"Title": "training images"})

    def draw(self, state, step):
        """A grid of fixed seeds, so that the grids of a run show one set of images getting better."""
        if self.sampler is None:
            return
        began = time.monotonic()
        images = self.sampler.sample(self.program.method.variables(state), np.arange(GRID))
        if self.book:
            path = self.workdir / "samples" / f"step_{step:06d}.png"
            weights = "average" if state.average else "raw"
            write_png(path, grid(images), record(self.workdir, step, weights, seeds=f"0-{GRID - 1}"))
            self.tell(f"  saved {path.relative_to(self.workdir)}")
        self.progress.pause(time.monotonic() - began)


@jax.jit
def _finite(tree):
    floats = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in floats]))


@contextmanager
def _signals():
    """Collects SIGTERM and Ctrl-C instead of dying of them; a second one is obeyed at once.

    Of several processes, JAX collects SIGTERM for all; Ctrl-C ends each without saving.
    """
    asked, before = [], {}
    if jax.process_count() > 1:  # JAX's own handler tells the other processes, and must not be replaced
        yield asked
        return

    def handler(signum, frame):
        asked.append(signum)
        signal.signal(signum, before[signum])

    try:
        for signum in (signal.SIGTERM, signal.SIGINT):
            before[signum] = signal.signal(signum, handler)
    except ValueError:  # not in the main thread (a notebook's worker, say): signals are the caller's
        pass
    try:
        yield asked
    finally:
        for signum, old in before.items():
            signal.signal(signum, old)


def check_same_run(config, workdir: Path) -> None:
    """Refuses a directory that is not a run, or is the run of another config."""
    if not (workdir / "config.json").exists():
        if workdir.is_dir() and any(p.name != "lock" and not p.name.endswith(".tmp") for p in workdir.iterdir()):
            raise InputError(f"{workdir} is not empty and not a run directory; choose another --workdir")
        return
    try:
        old = flatten(json.loads((workdir / "config.json").read_text()))
    except (ValueError, OSError) as error:
        raise InputError(f"{workdir / 'config.json'} cannot be read ({error}); choose another --workdir") from error
    done = checkpoint.committed(workdir / "checkpoints")
    if (workdir / "DONE").exists() and not done:
        raise InputError(f"{workdir} is done but its checkpoints are gone; choose another --workdir")
    if done and done[-1] > config.train.steps:
        raise InputError(f"train.steps={config.train.steps}: the run in {workdir} is at step {done[-1]} already")
    new = flatten(to_json(config))
    differ = sorted(k for k in old.keys() | new.keys() if old.get(k) != new.get(k))
    fixed = [k for k in differ if k not in FREE]
    if fixed:
        shown = ", ".join(f"{k} ({old.get(k)} there, {new.get(k)} here)" for k in fixed)
        raise InputError(f"{workdir} is the run of another config: {shown}; choose another --workdir")
    if "train.steps" in differ:
        sections = {f"{a}.{b}": v for a in ("objective", "optimizer") for b, v in to_json(config)[a].items()}
        tied = sorted(k for k, v in sections.items() if schedules.depends_on_run_length(v))
        if tied:
            raise InputError(
                f"train.steps={new['train.steps']}: the run in {workdir} has {old['train.steps']}, and its schedule"
                f" {tied[0]} spans the whole run; start a new run, or give the schedule a length (over)"
            )


def check_same_data(dataset, workdir: Path) -> None:
    """Refuses to go on with other images than the run began with."""
    path = workdir / "data.json"
    if not path.exists():
        return
    try:
        known = json.loads(path.read_text())["fingerprint"]
    except (ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read ({error}); choose another --workdir") from error
    if known != dataset.fingerprint():
        raise InputError(
            f"data set {dataset.name} is not what the run in {workdir} began with; choose another --workdir,"
            " or bring the old data back"
        )


def _together(act) -> None:
    """Runs `act`; if it refuses in one process, all refuse, instead of waiting for one that is gone."""
    error = None
    try:
        act()
    except InputError as refused:
        error = refused
    if jax.process_count() > 1 and not multihost_utils.broadcast_one_to_all(np.asarray(error is None)):
        error = error or InputError("process 0 refused; its error line says why")
    if error:
        raise error


def _claim(stack, config, workdir, name, overrides, dataset):
    """Makes the directory ours, and says at once what it is: a kill from here on leaves a run to go on with."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make {workdir} ({error.strerror}); choose another --workdir") from error
    stack.enter_context(logbook.locked(workdir))
    if not (workdir / "data.json").exists():
        about = {"name": dataset.name, "split": dataset.split, "fingerprint": dataset.fingerprint()}
        logbook.write_json(workdir / "data.json", {**about, "spec": dataset.spec._asdict()})
    logbook.write_json(workdir / "config.json", to_json(config))
    logbook.write_json(workdir / "overrides.json", {"config": name, "overrides": dict(overrides or {})})


def _begin(workdir, start):
    for stale in ("FAILED.txt", "DONE"):
        (workdir / stale).unlink(missing_ok=True)
    env = "env.json" if not start else f"env.resumed-{start}.json"
    logbook.write_json(workdir / env, logbook.environment())


def _opening(config, program, workdir, state):
    kinds = program.mesh.devices.flat[0].platform
    sizes = {name: sum(x.size for x in jax.tree.leaves(p)) for name, p in state.params.items()}
    height, width, channels = program.dataset.spec.shape
    parts = " · ".join(f"{name} {short(size)}" for name, size in sizes.items())
    yield f"gen_jax {__version__} · run {workdir} · {program.mesh.size} x {kinds}"
    yield (
        f"{parts} parameters · {program.dataset.spec.size:,} images {height}x{width}x{channels}"
        f" · batch {config.data.batch_size}"
    )


def short(number: int) -> str:
    """A count for people: 950, 12k, 1.2M."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return str(number)
