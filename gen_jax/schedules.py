"""Schedules: step -> number, evaluated on the host.

In a config a schedule is a number, or a section

    {"kind": "linear" | "cosine", "start": 0.0, "end": 1.0, "over": 10.0, "unit": "epochs"}

that goes from `start` to `end` over `over` steps, images or epochs and stays at `end`. `over = 0`
means the whole run. The same mechanism serves learning rates, penalty weights, the averaging
half-life and KL warm-up. The values are data of the compiled update: another schedule is the same program.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from gen_jax.field import Field

Schedule = Callable[[int], float]

KINDS = ("constant", "linear", "cosine")
UNITS = ("steps", "images", "epochs")

FIELDS = {
    "kind": Field("linear", "shape of the schedule", choices=KINDS),
    "start": Field(0.0, "value at step 0"),
    "end": Field(0.0, "value after `over`, and from then on"),
    "over": Field(0.0, "length of the schedule; 0: the whole run", least=0),
    "unit": Field("steps", "what `over` counts", choices=UNITS),
}


def constant(value: float) -> Schedule:
    """The same `value` at every step."""
    return lambda step: float(value)


def linear(start: float, end: float, steps: float) -> Schedule:
    """From `start` at step 0 to `end` at step `steps`, then `end`."""
    return lambda step: start + (end - start) * min(step / steps, 1.0)


def cosine(start: float, end: float, steps: float) -> Schedule:
    """Half a cosine from `start` to `end` (Loshchilov & Hutter 2017, eq. 5, one period)."""
    return lambda step: end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * min(step / steps, 1.0)))


def warmed(half_life: Schedule, share: Schedule, images: int) -> Schedule:
    """The half-life of a moving average, at most a share of the images seen so far, those of this update among them.

    Without it an average is mostly the initial weights until many half-lives have passed. With it, weights that were
    current after n0 images have the part (n0 / n) ** (log(2) / share) of the average after n: at 0.1, those of the
    first half of the run have less than 1 % (the ramp of StyleGAN's training code; its share is 0.05).

    Args:
      half_life: in images.
      share: 0 switches the ramp off.
      images: seen in one update.
    """

    def at(step):
        return min(half_life(step), share(step) * (step + 1) * images) if share(step) else half_life(step)

    return at


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
    section = {**{name: field.default for name, field in FIELDS.items()}, **section}
    per_unit = {"steps": 1.0, "images": 1.0 / batch_size, "epochs": size / batch_size}
    over = section["over"] * per_unit[section["unit"]] if section["over"] else float(steps)
    if section["kind"] == "constant":
        return constant(section["start"])
    return {"linear": linear, "cosine": cosine}[section["kind"]](section["start"], section["end"], over)


def depends_on_run_length(section: Any) -> bool:
    """Whether this schedule changes when `train.steps` does (such a run cannot be extended)."""
    return isinstance(section, Mapping) and section.get("kind") != "constant" and not section.get("over")
