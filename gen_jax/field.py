"""One row of what a config may hold, written beside the code that it is about.

A method's file has FIELDS = {"objective.beta": Field(1.0, "weight of the KL term", schedule=True, least=0)}; a
network's class has `width: int = setting(32, "channels at the full side", least=1)`. Defaults, meanings and bounds
stand there and nowhere else: configs are completed, checked and explained from these rows.
"""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple


class Field(NamedTuple):
    """One field of a config. Its type is that of its default."""

    default: bool | int | float | str | tuple
    meaning: str
    schedule: bool = False  # a section of `gen_jax.schedules` may stand in the place of the number
    least: float | None = None  # inclusive
    most: float | None = None
    choices: Collection[str] | None = None  # the strings allowed; of a tuple: its entries

    @property
    def kind(self) -> type:
        """The type of its values."""
        return type(self.default)

    @property
    def described(self) -> str:
        """The type in words."""
        if self.schedule:
            return "float or schedule"
        if self.kind is tuple:
            return "tuple of int" if self.choices is None else "tuple of str"
        return self.kind.__name__


def whole(text: str) -> int:
    """The whole number that a text means: "1000", "1e3"; ValueError where it means none."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if not number.is_integer():
            raise
        return int(number)


def setting(default: Any, meaning: str, **bounds):
    """A field of a Flax module that a config may set: the dataclass field with its Field."""
    return dataclasses.field(default=default, metadata={"field": Field(default, meaning, **bounds)})


def settings(module: type) -> dict[str, Field]:
    """The fields of a Flax module that a config may set, by name."""
    fields = dataclasses.fields(module)
    return {field.name: field.metadata["field"] for field in fields if "field" in field.metadata}


def flatten(config: Mapping, prefix: str = "") -> dict:
    """Dotted path -> value; a schedule section is flattened too."""
    flat = {}
    for name, value in config.items():
        if hasattr(value, "items"):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
