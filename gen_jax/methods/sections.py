"""Where config objects stop: sections become networks, schedules and optimisers."""

from collections.abc import Mapping
from functools import partial

import jax.numpy as jnp
import ml_collections

from gen_jax import optimizers, schedules
from gen_jax.data.dataset import Spec
from gen_jax.errors import InputError


def network(table: Mapping, config, section: str, spec: Spec, **given):
    """The Flax module that config.model[section] describes: its fields are splatted into the class."""
    fields = dict(config.model[section])
    name = fields.pop("name")
    if name not in table:
        raise InputError(f"model.{section}.name={name}: no such {section}; there are: {', '.join(sorted(table))}")
    given.setdefault("classes", classes(config, spec))
    return table[name](**fields, **given, dtype=jnp.dtype(config.model.dtype))


def classes(config, spec: Spec) -> int:
    """How many classes the networks are conditioned on: 0 for an unconditional model."""
    if config.model.get("conditional") and not spec.classes:
        raise InputError(f"model.conditional=True: data set {config.data.name} has no labels")
    return spec.classes if config.model.get("conditional") else 0


def schedule(config, value, spec: Spec) -> schedules.Schedule:
    """The Schedule of one config value, in the units of this run."""
    if isinstance(value, ml_collections.ConfigDict):
        value = value.to_dict()
    return schedules.make(value, batch_size=config.data.batch_size, size=spec.size, steps=config.train.steps)


def optimizer(config):
    """(learning_rate, b2) -> optax transformation: what is left open is what may be scheduled."""
    o = config.optimizer
    if o.weight_decay and o.name != "adamw":
        raise InputError(f"optimizer.weight_decay={o.weight_decay}: {o.name} has none; set optimizer.name=adamw")
    return partial(optimizers.make, o.name, b1=o.b1, eps=o.eps, weight_decay=o.weight_decay, clip=o.clip)
