"""What a run left on disk, made usable: its config, its data's Spec, its Method, the States of its checkpoints.

A run may be made over other runs: every section of its config with a field `run` (`source.run`) names one. What is
needed of them is kept in the run's own directory under the name of the section, so that a run travels alone.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.sharding import Mesh

from gen_jax import methods, own, randomness
from gen_jax.config import from_json
from gen_jax.config.load import check
from gen_jax.data.dataset import Spec, spec_from_json
from gen_jax.errors import InputError
from gen_jax.method import Method, Resources, Source, State, Variables, variables_of
from gen_jax.runtime import checkpoint
from gen_jax.runtime import mesh as meshes
from gen_jax.runtime.files import check_run, read_sealed


class Known(NamedTuple):
    """A run as its directory describes it."""

    config: ml_collections.ConfigDict
    spec: Spec
    method: Method
    sources: Mapping[str, Source]  # with shapes in the place of arrays


def known(path: Path) -> Known:
    """The run in directory `path`, or what another run keeps of it.

    Raises:
      InputError: no run there, or one that cannot be read.
    """
    check_run(path)
    config, spec = _read(path / "config.json", partial(_config, path)), _read(path / "data.json", _spec)
    sources = {}
    for section in named(config):
        of = known(path / section)
        sources[section] = Source(of.method, of.spec, abstract_variables(of))
    return Known(config, spec, methods.make(config, spec, sources), sources)


def _read(path: Path, make):
    """What `make` makes of a file of a run; whatever it stumbles over, the file is named."""
    values = read_sealed(path)
    try:
        return make(values)
    except Exception as error:  # a foreign file may hold anything of any type
        reason = " ".join(str(error).split())[:200]
        reason = reason if isinstance(error, (InputError, ValueError)) else f"{type(error).__name__}: {reason}"
        raise InputError(f"{path} cannot be used: {reason}") from error


def _config(path: Path, values: dict) -> ml_collections.ConfigDict:
    config = from_json(own.kept(values, path))
    check(config)
    return config


def _spec(values: dict) -> Spec:
    about = values["spec"]
    if "class_names" in about:
        raise InputError("this run was trained by gen_jax 0.1; read it with that version")
    return spec_from_json(about)


def named(config) -> dict[str, str]:
    """Section -> directory of the runs that a config names."""
    sections = {name: section.get("run", "") for name, section in config.items() if hasattr(section, "items")}
    return {name: run for name, run in sections.items() if run}


def opened(path: Path, mesh: Mesh, step: int | None = None) -> tuple[Known, State]:
    """The run in directory `path`, and its State at its latest checkpoint or at that of `step`, on `mesh`.

    Raises:
      InputError: no run there, no such checkpoint, or a damaged one.
    """
    run = known(path)
    steps = checkpoint.committed(path / "checkpoints")
    if not steps:
        raise InputError(f"no checkpoint in {path} yet; let it train up to train.checkpoint_every")
    with checkpoint.opened(path / "checkpoints", read_only=True) as saved:
        if step is not None and step not in steps:
            raise InputError(f"no checkpoint of step {step} in {path}; there are: {', '.join(map(str, steps))}")
        abstract = abstract_state(run.config, run.spec, run.method, mesh, run.sources)
        step = steps[-1] if step is None else step
        try:
            state, _ = saved.restore(step, abstract)
        except checkpoint.Damaged as error:
            older = [s for s in steps if s < step]
            hint = f"the one before it: --step={older[-1]}" if older else "there is none before it"
            raise InputError(f"{error}; {hint}") from error
    return run, state


def open_sources(config, mesh: Mesh, home: Path | None = None) -> dict[str, Source]:
    """The runs that a config names, with their averaged weights, on `mesh`.

    Args:
      home: the directory of the run that is made over them. Where it has a checkpoint, which holds the arrays, they
        are described from what it keeps: it goes on without them.

    Raises:
      InputError: as `opened`.
    """
    sources = {}
    for section, path in named(config).items():
        if home and (home / section / "config.json").is_file() and checkpoint.committed(home / "checkpoints"):
            run = known(home / section)
            sources[section] = Source(run.method, run.spec, abstract_variables(run))
            continue
        run, state = opened(Path(path), mesh, config[section].get("step") or None)
        sources[section] = Source(run.method, run.spec, variables_of(run.method, state))
    return sources


def abstract_state(config, spec: Spec, method: Method, mesh: Mesh, sources: Mapping[str, Source]) -> State:
    """Shapes and shardings of the State, without making one: what a checkpoint is restored into."""
    return meshes.layout(mesh, _shapes(spec, method, sources), config.mesh.shard_above)


def abstract_variables(run: Known) -> Variables:
    """The shapes of the Variables of a run."""
    return jax.eval_shape(partial(variables_of, run.method), _shapes(run.spec, run.method, run.sources))


def born(spec: Spec, method: Method, seed, resources: Resources) -> State:
    """The State before its first update; `seed` may be traced."""
    return method.init(randomness.stream(seed, randomness.INIT), spec.example(), resources)


def resources(mean: np.ndarray, sources: Mapping[str, Source]) -> Resources:
    """What a State is born from beside its seed: the mean image, and the arrays of the runs that the config names."""
    return Resources(jnp.asarray(mean), {name: source.variables for name, source in sources.items()})


def _shapes(spec, method, sources):
    return jax.eval_shape(partial(born, spec, method), np.uint32(0), resources(np.zeros(spec.shape), sources))
