"""Schedules at their ends, in their middle and in their units."""

import numpy as np
import pytest

from gen_jax import schedules

RUN = {"batch_size": 50, "size": 1000, "steps": 400}


def at(section, *steps):
    schedule = schedules.make(section, **RUN)
    return [schedule(step) for step in steps]


def test_number_is_constant():
    assert at(0.25, 0, 10**6) == [0.25, 0.25]


def test_linear_reaches_its_end_and_stays():
    section = {"kind": "linear", "start": 1.0, "end": 3.0, "over": 100, "unit": "steps"}
    assert at(section, 0, 25, 100, 500) == pytest.approx([1.0, 1.5, 3.0, 3.0])


def test_cosine_is_half_way_in_the_middle():
    section = {"kind": "cosine", "start": 2.0, "end": 0.0, "over": 100}
    assert at(section, 0, 50, 100, 101) == pytest.approx([2.0, 1.0, 0.0, 0.0], abs=1e-6)
    assert at(section, 25)[0] == pytest.approx(1 + np.cos(np.pi / 4))


@pytest.mark.parametrize("unit, over", [("steps", 40), ("images", 2000), ("epochs", 2)])
def test_units_are_one_length_in_three_words(unit, over):
    """Two epochs of 1,000 images in batches of 50 are 2,000 images are 40 steps."""
    section = {"kind": "linear", "start": 0.0, "end": 1.0, "over": over, "unit": unit}
    assert at(section, 10, 20, 40) == pytest.approx([0.25, 0.5, 1.0])


def test_no_length_is_the_whole_run():
    section = {"kind": "linear", "start": 0.0, "end": 1.0}
    assert at(section, 100, 400) == pytest.approx([0.25, 1.0])
    assert schedules.depends_on_run_length(section)
    assert not schedules.depends_on_run_length({**section, "over": 5})
    assert not schedules.depends_on_run_length({"kind": "constant", "start": 1.0})
    assert not schedules.depends_on_run_length(0.5)
