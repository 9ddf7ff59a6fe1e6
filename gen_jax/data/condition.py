"""What an image can be asked for by: its class, a caption, speech, another image.

A set says what it has in `Spec.conditions` (name -> Condition); a batch carries the values under the same names,
`batch["condition"] = {"label": int32 [B], "text": int32 [B, L], ...}`; a model says in `model.condition` which of
them its networks see.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import randomness
from gen_jax.errors import InputError

KINDS = ("label", "tokens", "audio", "image", "mask")


class Condition(NamedTuple):
    """One thing that images can be asked for by.

    Attributes:
      kind: "label" int32 [], "tokens" int32 [L], "audio" float32 [frames, bands], "image" or "mask" [H, W, C].
      shape: of one example.
      size: how many classes or words there are; 0 where the values are real numbers.
      names: of the classes or words; empty where they have none.
    """

    kind: str
    shape: tuple[int, ...] = ()
    size: int = 0
    names: tuple[str, ...] = ()


Conditions = Mapping[str, Condition]


def zeros(conditions: Conditions, rows: int) -> dict[str, jax.Array]:
    """One value of the right shape and type for each of `rows` images: what networks are initialised with."""
    kinds = {"label": jnp.int32, "tokens": jnp.int32}
    return {name: jnp.zeros((rows, *c.shape), kinds.get(c.kind, jnp.float32)) for name, c in conditions.items()}


def chosen(conditions: Conditions, batch: Mapping) -> dict[str, jax.Array]:
    """The values in a batch of these conditions; {} for an unconditional model."""
    return {name: batch["condition"][name] for name in conditions}


def by_seed(conditions: Conditions, keys: jax.Array) -> dict[str, jax.Array]:
    """The conditions that a seed alone decides: a class, drawn uniformly for each of `keys` [B].

    Raises:
      InputError: of another kind, which nobody can draw; it must be given, or come from an example.
    """
    asked = [name for name, condition in conditions.items() if condition.kind != "label"]
    if asked:
        raise InputError(f"give what the images are asked for by: {', '.join(f'--condition.{n}=...' for n in asked)}")
    return {name: randomness.classes(keys, condition.size) for name, condition in conditions.items()}


def repeated(name: str, condition: Condition, value, count: int) -> np.ndarray:
    """One value an image [count, ...] of what was given: so many values, or one for all.

    Raises:
      InputError: of another shape, or a class that there is not.
    """
    value = np.asarray(value, np.int32 if condition.kind in ("label", "tokens") else None)
    if value.shape == condition.shape:
        value = np.broadcast_to(value, (count, *value.shape))
    if value.shape != (count, *condition.shape):
        raise InputError(f"condition {name} has shape {value.shape}: expected {(count, *condition.shape)}")
    if condition.kind in ("label", "tokens") and not (value.min() >= 0 and value.max() < condition.size):
        what = "classes" if condition.kind == "label" else "tokens"
        raise InputError(f"condition {name}: its {what} are 0 to {condition.size - 1}")
    return value


def parse(name: str, condition: Condition, text: str) -> np.ndarray:
    """The value, of `condition.shape`, that the text of the flag --condition.NAME means.

    A label is a class's name or its number.

    Raises:
      InputError: no such class.
    """
    if text in condition.names:
        return np.int32(condition.names.index(text))
    if text.isdigit() and int(text) < condition.size:
        return np.int32(text)
    names = "" if condition.names == tuple(map(str, range(condition.size))) else f" ({', '.join(condition.names[:12])})"
    raise InputError(f"--condition.{name}={text}: its classes are 0 to {condition.size - 1}{names}")
