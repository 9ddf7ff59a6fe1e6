"""What looks at a run while it trains; here grids and a profile, in evaluation/during_training.py the scores.

The loop calls observers and imports none. One is made for a run by a function (program, workdir) -> Observer, before
anything is written: what cannot be observed is refused then.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from gen_jax.data.images import evenly
from gen_jax.errors import InputError
from gen_jax.method import State, variables_of
from gen_jax.program import Program
from gen_jax.provenance.pictures import grid, record, write_png
from gen_jax.runtime import checkpoint
from gen_jax.runtime import mesh as meshes
from gen_jax.sample import of_examples, sampler

GRID = 64


class Observer(NamedTuple):
    """Looks at a run."""

    every: int  # updates between two looks, besides that at the end; 0: only at the end
    see: Callable[[State, int], str | None]  # (state, step) -> a line for the terminal
    begin: Callable[[int], None] = lambda step: None  # called once, when the run begins or goes on at `step`
    end: Callable[[], None] = lambda: None  # called once, however the run ended


Maker = Callable[[Program, Path], Observer]


def weights_of(state: State) -> str:
    """Which weights samples are drawn with: "average" or "raw"."""
    return "raw" if state.average is None else "average"


def grids(every: int) -> Maker:
    """A grid of fixed seeds, so that the grids of a run show one set of images getting better.

    Where images are asked for by more than a class, each stands beside the training image that is described so.
    """

    def make(program: Program, workdir: Path) -> Observer:
        main = jax.process_index() == 0
        draw = sampler(program.method, program.mesh) if program.method.sample else None

        def begin(step):
            if step == 0 and main:
                batch = program.dataset.gather(evenly(program.dataset.spec.size, GRID))
                write_png(workdir / "reals.png", grid(batch["image"]), {"Title": "training images"})

        def see(state, step):
            if draw is None:
                return None
            seeds = np.arange(GRID)
            condition = of_examples(program.method, program.dataset, seeds)
            variables = meshes.whole(variables_of(program.method, state))
            images, columns = draw.sample(variables, seeds, condition), 8
            if condition is not None:
                described = program.dataset.gather(seeds % program.dataset.spec.size)["image"]
                images, columns = np.stack([described, images], axis=1).reshape(-1, *images.shape[1:]), 16
            path = workdir / "samples" / f"step_{step:06d}.png"
            if main:
                about = record(workdir, step, weights_of(state), seeds=f"0-{GRID - 1}")
                title = {"Title": "training image left, sample right"} if condition is not None else {}
                write_png(path, grid(images, columns), {**about, **title})
            return f"  saved {path.relative_to(workdir)}"

        return Observer(every, see, begin)

    return make


def profile(first: int, last: int) -> Maker:
    """Records what host and devices do from step `first` to step `last`, in RUN/profile, for XProf and Perfetto.

    The program runs from its start to its end within these steps, so that nothing is compiled in them. Process 0
    records; each call of the update is a step named "train" with the number of its last update.

    What it returns refuses, by an InputError, steps that the run does not have or has behind it.
    """

    def make(program: Program, workdir: Path) -> Observer:
        steps, per_call = program.length[:2]
        span = f"--profile={first}:{last}"
        if program.method.step is None:
            raise InputError(f"{span}: the method makes no updates; leave it out")
        if not 1 <= first < last <= steps:
            raise InputError(f"{span}: expected FIRST:LAST with 1 <= FIRST < LAST <= {steps}, the steps of the run")
        if first % per_call or last % per_call:
            raise InputError(f"{span}: both must be multiples of train.steps_per_call={per_call}")
        done = max(checkpoint.committed(workdir / "checkpoints"), default=0)
        if done >= first:
            raise InputError(f"{span}: the run goes on from step {done}; choose later steps")
        tracing = ExitStack()
        if jax.process_index():
            return Observer(0, lambda state, step: None)

        def see(state, step):
            if step == first:
                jax.block_until_ready(state)
                tracing.enter_context(jax.profiler.trace(workdir / "profile", create_perfetto_trace=True))
            if step == last:
                jax.block_until_ready(state)
                tracing.close()
                return f"  profiled steps {first + 1} to {last} in profile/"
            return None

        return Observer(1, see, end=tracing.close)

    return make
