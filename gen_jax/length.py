"""How long a run is, and how often it does what."""

from typing import NamedTuple

from gen_jax.errors import InputError


class Length(NamedTuple):
    """How long a run is and how often it does what, in updates; a method without `step` makes one, which is no work."""

    steps: int = 1
    steps_per_call: int = 1
    log_every: int = 1
    checkpoint_every: int = 0
    keep_checkpoints: int = 1


def length(config) -> Length:
    """The Length of a config.

    Raises:
      InputError: a number of updates that is no whole number of calls.
    """
    if "train" not in config:
        return Length()
    t = config.train
    for field in ("steps", "log_every", "sample_every", "checkpoint_every", "evaluate_every"):
        if t[field] % t.steps_per_call:
            raise InputError(f"train.{field}={t[field]}: must be a multiple of train.steps_per_call={t.steps_per_call}")
    return Length(**{name: t[name] for name in Length._fields})
