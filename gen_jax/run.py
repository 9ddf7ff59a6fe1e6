"""A trained run, opened: what a notebook, the evaluator and the verbs work with."""

import dataclasses
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from gen_jax import data, methods
from gen_jax.config import from_json
from gen_jax.config.load import check
from gen_jax.data.dataset import Dataset, Spec
from gen_jax.errors import InputError
from gen_jax.method import Method, State, Variables
from gen_jax.program import abstract_state
from gen_jax.runtime import checkpoint
from gen_jax.runtime import mesh as meshes
from gen_jax.sample import Sampler, sampler


@dataclasses.dataclass(frozen=True)
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
        return sampler(self.method, self.spec.classes if self.config.model.get("conditional") else 0, self.mesh)

    def sample(self, seed: int = 0, count: int = 16, label: int | None = None, temperature: float = 1.0) -> np.ndarray:
        """Images uint8 [count, H, W, C] of the seeds seed, seed + 1, ...; each is the same in any batch."""
        return self.sampler.sample(self.variables, range(seed, seed + count), label, temperature)

    def interpolate(self, seeds: Sequence[int], frames: int = 20, label: int | None = None) -> np.ndarray:
        """uint8 [len(seeds) * frames, H, W, C]: from each seed spherically to the next, and round."""
        return self.sampler.interpolate(self.variables, seeds, frames, label)

    def reconstruct(self, images: np.ndarray, label: np.ndarray | None = None) -> np.ndarray:
        """Images uint8 [N, H, W, C] through the encoder and back."""
        return self.sampler.reconstruct(self.variables, images, None if label is None else {"label": label})


def load(path: str | Path, step: int | str | None = None, average: bool = True) -> Run:
    """Opens the run in directory `path`, at its latest checkpoint or at that of `step`.

    Args:
      step: of a checkpoint, or "best": the one that evaluation during training liked best.
      average: the averaged weights, which samples in the run directory are drawn with; False for the raw ones.

    Raises:
      InputError: no run there, no such checkpoint, a damaged one, or the data set is not at hand.
    """
    path = Path(path)
    if not (path / "config.json").is_file():
        raise InputError(f"no run in {path} (no config.json); train one: gen-jax train --workdir={path}")
    try:
        config = from_json(json.loads((path / "config.json").read_text()))
        spec = read_spec(path)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"the run in {path} cannot be read ({error}); is config.json or data.json damaged?") from error
    check(config)
    mesh = meshes.make(-1)
    method = methods.make(config, spec)
    if step == "best":
        return _best(path, config, spec, mesh, method, average)
    if not (path / "checkpoints").is_dir():
        raise InputError(f"no checkpoint in {path} yet; let it train up to train.checkpoint_every")
    with checkpoint.opened(path / "checkpoints", read_only=True) as saved:
        steps = saved.steps()
        if not steps:
            raise InputError(f"no checkpoint in {path} yet; let it train up to train.checkpoint_every")
        if step is not None and step not in steps:
            raise InputError(f"no checkpoint of step {step} in {path}; there are: {', '.join(map(str, steps))}")
        step = steps[-1] if step is None else step
        try:
            state, _ = saved.restore(step, abstract_state(config, spec, method, mesh))
        except checkpoint.Damaged as error:
            older = [s for s in steps if s < step]
            hint = f"the one before it: --step={older[-1]}" if older else "there is none before it"
            raise InputError(f"{error}; {hint}") from error
    weights = "average" if average and state.average else "raw"
    which = "final" if int(state.step) == config.train.steps else "step"
    variables = method.variables(state, average)
    return Run(path, config, spec, int(state.step), mesh, method, state, variables, weights, which)


def _best(path, config, spec, mesh, method, average) -> Run:
    if not average:
        raise InputError("--step=best holds the weights that were evaluated, not the raw ones; leave out --raw")
    none = f"no best checkpoint in {path}; train with --config.train.evaluate_every=N"
    if not (path / "best").is_dir():
        raise InputError(none)
    state = abstract_state(config, spec, method, mesh)
    abstract = jax.eval_shape(method.variables, state)
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=meshes.replicated(mesh)), abstract
    )
    with checkpoint.opened(path / "best", read_only=True) as saved:
        if not saved.steps():
            raise InputError(none)
        step = saved.steps()[-1]
        variables, _ = saved.restore(step, abstract)
    weights = "average" if state.average else "raw"
    return Run(path, config, spec, step, mesh, method, None, Variables(*variables), weights, "best")


def read_spec(path: Path) -> Spec:
    """The Spec in a run's data.json."""
    values = json.loads((path / "data.json").read_text())["spec"]
    return Spec(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
