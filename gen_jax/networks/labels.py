"""How the networks read a condition."""

from collections.abc import Mapping

from jaxtyping import Array, Int

from gen_jax.errors import InputError

Condition = Mapping[str, Array] | None


def labels(condition: Condition) -> Int[Array, " B"]:
    """The labels int32 [B] of a condition, which a network with classes > 0 cannot do without."""
    if condition is None or "label" not in condition:
        raise InputError('condition has no "label": this model was built with classes, so give every image one')
    return condition["label"]
