"""A trained run, opened: what a notebook, the evaluator and the verbs work with."""

import dataclasses
import importlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import ml_collections
import numpy as np
from jax.sharding import Mesh

from gen_jax import data, saved
from gen_jax.data.dataset import Dataset, Spec
from gen_jax.errors import InputError
from gen_jax.length import length
from gen_jax.method import Method, State, Variables, variables_of
from gen_jax.runtime import checkpoint
from gen_jax.runtime import mesh as meshes
from gen_jax.sample import Condition, Sampler, sampler


@dataclasses.dataclass(frozen=True, repr=False)
class Run:
    """A checkpoint of a run with all that is needed to use it, on the devices of this machine."""

    path: Path
    config: ml_collections.ConfigDict
    spec: Spec
    step: int
    mesh: Mesh
    method: Method
    state: State | None  # None for the best checkpoint, which holds Variables only
    variables: Variables
    weights: str  # "average" or "raw": which the variables are
    checkpoint: str  # "final", "best", or "step": one from the middle

    def dataset(self, split: str = "train") -> Dataset:
        """The data of the run; sampling does not need it, so a run travels without."""
        return data.make(**self.config.data, split=split)

    @cached_property
    def sampler(self) -> Sampler:
        """Compiled drawing, kept for the next call."""
        return sampler(self.method, self.mesh)

    def sample(
        self, seeds: Sequence[int] = range(16), condition: Condition = None, temperature: float = 1.0, **options
    ) -> np.ndarray:
        """Images uint8 [N, H, W, C] of N seeds; the image of a seed is the same in any batch.

        Args:
          condition: {"label": 3} or {"label": int [N]}, {"text": int32 [N, L]}, ...: one value an image, or one for
            all. A label that is not given is drawn by seed.
          options: those that the method has (`run.method.options`), such as guidance=2.0 or top_k=8; and `draw`, for
            other images of the same seeds.
        """
        return self.sampler.sample(self.variables, seeds, condition, temperature, **options)

    def best_of(
        self, count: int, scorer: "Run", seeds: Sequence[int], condition: Condition, temperature: float = 1.0, **options
    ) -> np.ndarray:
        """Of `count` draws for each seed the one that `scorer`, a run that matches, likes best (Ramesh et al. 2021).

        Raises:
          InputError: a scorer that reads other words than this model, or that does not match images at all.
        """
        for name, about in scorer.method.conditions.items():
            if self.method.conditions.get(name) != about:
                raise InputError(
                    f"{scorer.path} reads another {name} than {self.path} is asked by; train it on one set"
                )
        if scorer.spec.shape != self.spec.shape:
            raise InputError(f"{scorer.path} reads images of another shape")
        if missing := [name for name in scorer.method.conditions if name not in (condition or {})]:
            raise InputError(f"give what the scorer shall look for: {', '.join(missing)}")
        own = {name: condition[name] for name in scorer.method.conditions}
        drawn = [self.sample(seeds, condition, temperature, draw=i, **options) for i in range(count)]
        scores = np.stack([scorer.sampler.match(scorer.variables, images, own) for images in drawn])
        return np.stack(drawn)[scores.argmax(0), np.arange(len(drawn[0]))]

    def encode(self, images: np.ndarray, condition: Condition = None):
        """Latents of images uint8 [N, H, W, C]: a pytree of arrays with leading axis N."""
        return self.sampler.encode(self.variables, images, condition)

    def decode(self, latents, condition: Condition = None) -> np.ndarray:
        """Images uint8 [N, H, W, C] of latents."""
        return self.sampler.decode(self.variables, latents, condition)

    def interpolate(self, seeds: Sequence[int], frames: int = 20, condition: Condition = None) -> np.ndarray:
        """uint8 [len(seeds) * frames, H, W, C]: from each seed spherically to the next, and round."""
        return self.sampler.interpolate(self.variables, seeds, frames, condition)

    def reconstruct(self, images: np.ndarray, condition: Condition = None) -> np.ndarray:
        """Images uint8 [N, H, W, C] through the encoder and back."""
        return self.sampler.reconstruct(self.variables, images, condition)

    def complete(
        self, images: np.ndarray, mask: np.ndarray, seeds: Sequence[int] | None = None, condition: Condition = None
    ) -> np.ndarray:
        """Images uint8 [N, H, W, C] with all that `mask` ([N, H, W, 1] or [H, W, 1]) does not keep drawn anew."""
        seeds = range(len(images)) if seeds is None else seeds
        return self.sampler.complete(self.variables, images, mask, seeds, condition)

    def evaluate(self, **choices) -> list[dict]:
        """The records of `gen-jax evaluate`: see `gen_jax.evaluation.evaluate.evaluate` for what can be chosen."""
        # Scores stand above runs and import them: from here they are asked for by name.
        return importlib.import_module("gen_jax.evaluation.evaluate").evaluate(self, **choices)

    def __repr__(self) -> str:
        """One line: what the run is, and which of its weights these are."""
        return f"Run({str(self.path)!r}, {self.config.method}, step {self.step}, {self.weights} weights)"


def load(path: str | Path, step: int | str | None = None, average: bool = True) -> Run:
    """Opens the run in directory `path`, at its latest checkpoint or at that of `step`.

    Args:
      step: of a checkpoint, or "best": the one that evaluation during training liked best.
      average: the averaged weights, which samples in the run directory are drawn with; False for the raw ones.

    Raises:
      InputError: no run there, no such checkpoint, a damaged one, or the data set is not at hand.
    """
    path, mesh = Path(path), meshes.make(-1)
    if step == "best":
        return _best(path, mesh, average)
    of, state = saved.opened(path, mesh, step)
    weights = "average" if average and state.average is not None else "raw"
    which = "final" if int(state.step) == length(of.config).steps else "step"
    variables = meshes.whole(variables_of(of.method, state, average))
    return Run(path, of.config, of.spec, int(state.step), mesh, of.method, state, variables, weights, which)


def _best(path, mesh, average) -> Run:
    if not average:
        raise InputError("--step=best holds the weights that were evaluated, not the raw ones; leave out --raw")
    of = saved.known(path)
    if not checkpoint.committed(path / "best"):
        raise InputError(f"no best checkpoint in {path}; train with --config.train.evaluate_every=N")
    abstract = saved.abstract_variables(of)
    with checkpoint.opened(path / "best", read_only=True) as best:
        step = best.steps()[-1]
        variables, meta = best.restore(step, meshes.layout(mesh, abstract))
    return Run(path, of.config, of.spec, step, mesh, of.method, None, Variables(*variables), meta["weights"], "best")
