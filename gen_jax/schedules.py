"""Schedules: step -> scalar, pure and traceable.

In a config a schedule is a number, or a section

    {"kind": "linear" | "cosine", "start": 0.0, "end": 1.0, "over": 10.0, "unit": "epochs"}

that goes from `start` to `end` over `over` steps, images or epochs and stays at `end`. `over = 0`
means the whole run. The same mechanism serves learning rates, penalty weights, the averaging
half-life and KL warm-up.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

Schedule = Callable[[jax.Array], jax.Array]

KINDS = ("constant", "linear", "cosine")
UNITS = ("steps", "images", "epochs")


def constant(value: float) -> Schedule:
    """The same `value` at every step."""
    return lambda step: jnp.asarray(value, jnp.float32)


def linear(start: float, end: float, steps: float) -> Schedule:
    """From `start` at step 0 to `end` at step `steps`, then `end`."""
    return lambda step: start + (end - start) * jnp.clip(step / steps, 0.0, 1.0)


def cosine(start: float, end: float, steps: float) -> Schedule:
    """Half a cosine from `start` to `end` (Loshchilov & Hutter 2017, eq. 5, one period)."""

    def schedule(step):
        return end + (start - end) * 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.clip(step / steps, 0.0, 1.0)))

    return schedule


def make(section: float | Mapping[str, Any], *, batch_size: int, size: int, steps: int) -> Schedule:
    """A Schedule from its config: a number or a section (see the module's docstring).

    Args:
      section: the number or the section.
      batch_size: images per update, which turns images into steps.
      size: images in the training set, which turns epochs into images.
      steps: length of the run, which `over = 0` stands for.
    """
    if not isinstance(section, Mapping):
        return constant(section)
    section = {"kind": "linear", "start": 0.0, "end": 0.0, "over": 0.0, "unit": "steps", **section}
    per_unit = {"steps": 1.0, "images": 1.0 / batch_size, "epochs": size / batch_size}
    over = section["over"] * per_unit[section["unit"]] if section["over"] else float(steps)
    if section["kind"] == "constant":
        return constant(section["start"])
    return {"linear": linear, "cosine": cosine}[section["kind"]](section["start"], section["end"], over)


def depends_on_run_length(section: Any) -> bool:
    """Whether this schedule changes when `train.steps` does (such a run cannot be extended)."""
    return isinstance(section, Mapping) and section.get("kind") != "constant" and not section.get("over")
