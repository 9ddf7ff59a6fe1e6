"""train(config, workdir): the loop, for every Method.

It asks a Method for `step` and `fit` by name and knows no family. All that it changes is in the State, so a checkpoint
of it at any step and the same command give the run that was never interrupted, bit for bit.
"""

import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.command import command
from gen_jax.config import to_json
from gen_jax.errors import Failed, Interrupted, NonFinite
from gen_jax.length import length
from gen_jax.method import State
from gen_jax.program import Program, build
from gen_jax.runtime import checkpoint, directory, logbook, processes, watch
from gen_jax.runtime.progress import Progress, duration, opening
from gen_jax.version import __version__


class Result(NamedTuple):
    """How a run ended: the last State, and the Program that made it."""

    state: State
    program: Program


def train(
    config,
    workdir: Path,
    *,
    observers: Sequence = (),
    say: bool = False,
    name: str = "",
    overrides: Mapping[str, str] | None = None,
) -> Result:
    """Trains `config` in `workdir`, from its latest checkpoint where there is one.

    Args:
      config: a checked config (`gen_jax.config.load`).
      workdir: the run directory; made if it is not there.
      observers: what looks at the run while it trains, each a function (program, workdir) -> Observer; see
        `gen_jax.observers`, and `gen_jax.evaluation.during_training.observers` for what `gen-jax train` has.
      say: whether progress goes to stderr.
      name, overrides: how the config was asked for, written down for the reader.

    Raises:
      InputError: the config, the data or the directory cannot be used; nothing has been changed.
      NonFinite: a loss is no longer finite; FAILED.txt says which.
      Interrupted: SIGTERM or Ctrl-C came; the state has been saved.
    """
    workdir, main = Path(workdir), jax.process_index() == 0
    total = length(config).steps
    directory.check_same_run(to_json(config), total, workdir)
    program = build(config, workdir)
    directory.check_same_data(program.dataset, workdir)
    checkpoint.check_room(workdir, program.abstract)
    watching = [observer(program, workdir) for observer in observers]
    with ExitStack() as stack:
        claim = lambda: directory.claim(stack, to_json(config), workdir, name, overrides, program.dataset)
        processes.together(claim if main else lambda: None)
        saved = stack.enter_context(checkpoint.opened(workdir / "checkpoints", keep=program.length.keep_checkpoints))
        damage = []
        state, _, start = saved.latest(program.abstract, damage.append) or (program.init(), {}, 0)
        progress = Progress(total, start, config.data.batch_size, show=say and main)
        stack.callback(progress.close)
        if start == total and (workdir / "DONE").exists():
            progress.say(f"already done · {workdir}")
            return Result(state, program)
        book = stack.enter_context(logbook.opened(workdir, start) if main else logbook.silent())
        if main:
            directory.begin(workdir, start)

        def tell(line):
            if line:
                progress.say(line)
                book.log(line)

        for line in [*damage, *opening(config, program, workdir, state, start)]:
            tell(line)
        for observer in watching:
            observer.begin(start)
            stack.callback(observer.end)
        try:
            state = loop(progress.measuring(program), state, saved, book, progress, tell, watching)
        except NonFinite as error:
            saved.wait()
            message = f"{error}; last good checkpoint {max(saved.steps(), default='none')}"
            raise NonFinite(directory.failed(workdir, message, main)) from None
        except Interrupted:
            raise
        except Exception as error:
            raise Failed(directory.failed(workdir, error, main)) from error
        saved.wait()
        if main:
            logbook.write_text(workdir / "DONE", f"{total}\n")
        verb = "sample" if program.method.sample else "evaluate"
        tell(f"done {duration(progress.elapsed())} · {workdir} · next: {command(verb, workdir)}")
    return Result(state, program)


def loop(program: Program, state: State, saved, book, progress, tell, observers) -> State:
    """Updates up to the last one. Nothing here decides what is computed: that is all in the State."""
    t = program.length
    step, compiled, unread = int(state.step), set(), []  # unread: (step, count, metrics on the device)

    def due(every):
        return step == t.steps or (every and step % every == 0)

    def read():
        for row in rows(jax.device_get(unread)):
            if row["step"] % t.log_every == 0 or row["step"] == t.steps:
                book.metrics(row)
                book.timing(progress.timing(row["step"]))
                progress.metrics(row)
        unread.clear()

    def sound():
        """Refuses to go on from a number or a state that is none."""
        list(rows(jax.device_get(unread)))
        if not finite(state):
            raise NonFinite(f"non-finite loss at step {step} (term: the updated parameters)")

    with processes.collected() as asked:
        for feed in program.feeds(step):
            count = min(t.steps_per_call, t.steps - step)
            variants = program.variants(step, count)
            began = time.monotonic()
            state, metrics = program.update(state, feed, variants)
            watch.at(f"step {step + count}")
            if variants not in compiled:
                compiled.add(variants)
                jax.block_until_ready(state.step)
                tell(f"compiling {progress.pause(began):.1f} s")
            # One call is under way while the next is prepared, and never more: a signal must not wait for a queue of
            # steps that were asked for long ago. What is read is read late: the device never waits.
            if unread:
                jax.block_until_ready(unread[-1])
                if unread[-1][0] % t.log_every == 0:
                    read()
            step += count
            unread.append((step, count, metrics))
            if step == t.steps and program.method.fit:
                sound()  # nothing is fitted to numbers that are none
                began = time.monotonic()
                state, metrics = program.fit(state)
                unread.append((step, 1, metrics))
                tell(f"fitted {progress.pause(began):.1f} s")
            stop = processes.must_stop(asked, step // t.steps_per_call)
            # Seen before it is saved: a kill between the two sees the same again, and loses nothing.
            for observer in observers:
                if due(observer.every):
                    began = time.monotonic()
                    tell(observer.see(state, step))
                    progress.pause(began)
            if stop or due(t.checkpoint_every):
                read()  # a state is saved once its numbers are known to be finite and the rows up to it are on disk
                sound()
                book.flush()
                saved.save(step, state, {"step": step, "version": __version__})
            if stop:
                saved.wait()
                raise Interrupted(asked[0] if asked else signal.SIGTERM, step)
            book.log(progress.update(step))
    return state


def rows(calls):
    """The rows of metrics.jsonl, one an update; stops at a number that is none."""
    row = {}
    for last, count, metrics in calls:
        for i, step in enumerate(range(last - count + 1, last + 1)):
            if row and row["step"] != step:
                yield row
                row = {}
            # What is fitted after the last update stands in its row.
            now = {name: float(m.total[i]) / float(m.count[i]) for name, m in metrics.items() if m.count[i]}
            row = {"step": step, **row, **now}
            bad = [name for name, value in row.items() if not np.isfinite(value)]
            if bad:
                # A sum is not finite where a part is not: the parts are the ones to look at.
                terms = [name for name in bad if name != "loss"] or bad
                raise NonFinite(f"non-finite loss at step {step} (term: {', '.join(terms)})")
    if row:
        yield row


@jax.jit
def finite(tree) -> jax.Array:
    """Whether every float of a pytree is a number."""
    floats = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(x)) for x in floats], bool))


class _Called(type(sys)):  # so that gen_jax.train(config, workdir) is gen_jax.train.train(config, workdir)
    __call__ = staticmethod(train)


sys.modules[__name__].__class__ = _Called
