"""`experiments/shapes_judge.py`, which reads pictures of shapes: of what is drawn by rule it is right."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from gen_jax.data.scene import Object, parse

spec = importlib.util.spec_from_file_location(
    "shapes_judge", Path(__file__).parent.parent / "experiments/shapes_judge.py"
)
judge = importlib.util.module_from_spec(spec)
spec.loader.exec_module(judge)


def found(what, x, y, cover=()):
    mask = np.zeros(16, np.float32)
    mask[list(cover)] = 1.0
    return judge.Found(Object(*what.split()), (x, y), mask)


def test_faults_are_named():
    reading = [found("small red circle", 30, 30), found("large blue square", 40, 90)]
    faults = lambda sentence: judge.faults(reading, parse(sentence))
    assert faults("a small red circle above a large blue square") == []
    assert faults("a large blue square below a small red circle") == []
    assert faults("a small red circle below a large blue square") == ["where"]
    assert faults("a small red circle left of a large blue square") == ["where"]
    assert faults("a large red circle above a large blue square") == ["size"]
    assert faults("a small red cross above a large blue square") == ["shape"]
    assert faults("a small green cross above a large blue square") == ["colour", "shape"]
    assert faults("a small red circle at the top left") == ["number"]
    assert judge.faults(reading[:1], parse("a small red circle at the top left")) == []
    assert judge.faults(reading[:1], parse("a small red circle at the top right")) == ["where"]


def test_of_objects_that_share_pixels_the_later_one_lies_in_front():
    reading = [found("small red circle", 30, 30, range(4)), found("large blue square", 30, 40, range(9))]
    assert judge.relation(reading, 0, 1) == "behind" and judge.relation(reading, 1, 0) == "in front of"
    assert judge.faults(reading, parse("a small red circle above a large blue square")) == ["where"]
    two_alike = [found("small red circle", 30, 30), found("small red circle", 90, 40)]
    assert judge.faults(two_alike, parse("a small red circle right of a small red circle")) == []


@pytest.mark.parametrize("objects", [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3))])
def test_it_reads_what_is_drawn(objects):
    images, captions = judge.fresh(12, 11, objects)
    assert judge.right(images, captions).mean() == 1.0
    others = captions[1:] + captions[:1]
    same = [a == b for a, b in zip(captions, others, strict=True)]
    assert (judge.right(images, others) <= same).all()
