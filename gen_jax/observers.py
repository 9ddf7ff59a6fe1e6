"""What looks at a run while it trains; here the grids, in evaluation/during_training.py the scores.

The loop calls observers and imports none. One is made for a run by a function (program, workdir) -> Observer, before
anything is written: what cannot be observed is refused then.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from gen_jax.data.images import evenly
from gen_jax.method import State, variables_of
from gen_jax.program import Program
from gen_jax.provenance.pictures import grid, record, write_png
from gen_jax.sample import of_examples, sampler

GRID = 64


class Observer(NamedTuple):
    """Looks at a run."""

    every: int  # updates between two looks, besides that at the end; 0: only at the end
    see: Callable[[State, int], str | None]  # (state, step) -> a line for the terminal
    begin: Callable[[int], None] = lambda step: None  # called once, when the run begins or goes on at `step`


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
            images, columns = draw.sample(variables_of(program.method, state), seeds, condition), 8
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
