"""Where config objects stop: sections become networks, schedules and rules."""

from collections.abc import Callable, Mapping
from functools import partial

import jax.numpy as jnp
import ml_collections

from gen_jax import optimizers, own, schedules
from gen_jax.data.condition import Condition
from gen_jax.data.dataset import Spec
from gen_jax.errors import InputError
from gen_jax.field import Field
from gen_jax.networks.called import Called

# Rows that several families have.
COMPUTE = {
    "model.dtype": Field(
        "float32", "type that layers compute in; parameters stay float32", choices=("float32", "bfloat16")
    ),
    "model.remat": Field(False, "compute each block again in the backward pass instead of keeping what is inside it"),
}
CONDITION = {
    "model.condition": Field(
        (), "what the networks see of what an image is asked for by", choices=("label", "text", "audio", "image")
    )
}


def network(table: Mapping, config, section: str, **given):
    """The network that config.model[section] describes: its fields are splatted into the class of the Flax module."""
    fields = dict(config.model[section])
    name = fields.pop("name")
    try:
        module = own.pick(table, name)(**fields, **given, dtype=jnp.dtype(config.model.dtype))
    except TypeError as error:  # a module of the user's that lacks a field
        raise InputError(f"model.{section}.name={name}: {error}; it takes {', '.join(given)}, dtype") from error
    return Called(module, config.model.get("remat", False))


def function(table: Mapping, config, section: str, field: str) -> Callable:
    """The function that config[section][field] names, told what the config says of the FIELDS beside it."""
    name = config[section][field]
    found, given = own.pick(table, name), own.given(name, config, section)
    return partial(found, **given) if given else found


def conditions(config, spec: Spec) -> tuple[tuple[str, Condition], ...]:
    """What the networks are conditioned on, by name; refuses what the data has not."""
    for name in config.model.condition:
        if name not in spec.conditions:
            has = f"it has {', '.join(spec.conditions)}" if spec.conditions else "it has no labels and nothing else"
            raise InputError(f"model.condition={name}: data set {config.data.name} has no {name}; {has}")
    return tuple((name, spec.conditions[name]) for name in config.model.condition)


def schedule(config, value, spec: Spec) -> schedules.Schedule:
    """The Schedule of one config value, in the units of this run."""
    if isinstance(value, ml_collections.ConfigDict):
        value = value.to_dict()
    return schedules.make(value, batch_size=config.data.batch_size, size=spec.size, steps=config.train.steps)


def hyper(config, spec: Spec, **more) -> dict[str, schedules.Schedule]:
    """The schedules of the rule's numbers, of the average where the method keeps one, and of `more` config values."""
    values = {name: config.optimizer[name] for name in optimizers.HYPER} | more
    found = {name: schedule(config, value, spec) for name, value in values.items()}
    return found | ({"average": half_life(config, spec)} if "average" in config.optimizer else {})


def half_life(config, spec: Spec) -> schedules.Schedule:
    """The half-life of the moving average in images, warmed up."""
    wanted, share = (schedule(config, config.optimizer[name], spec) for name in ("average", "average_warmup"))
    return schedules.warmed(wanted, share, config.data.batch_size)


def rule(config) -> optimizers.Rule:
    """The rule that config.optimizer names, its numbers left open."""
    o = config.optimizer
    if o.weight_decay and o.name not in optimizers.DECAYING:
        raise InputError(f"optimizer.weight_decay={o.weight_decay}: {o.name} has none; set optimizer.name=adamw")
    return optimizers.make(o.name, clipped=bool(o.clip))
