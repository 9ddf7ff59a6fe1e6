"""Layers that compute in bfloat16: parameters, statistics, optimiser and metrics stay float32."""

import jax
import pytest
from shrunk import CONFIGS, shrunk

from gen_jax.config import load
from gen_jax.program import build
from gen_jax.runtime import performance

BFLOAT16 = {"model__dtype": "bfloat16"}
BY_GRADIENT = [name for name in CONFIGS if "train" in load(name)]


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_what_stays_float32(name, tmp_path):
    program = build(shrunk(name, tmp_path, **BFLOAT16))
    feed = next(program.feeds(0))
    operations, operands = performance.cost(program, program.abstract, feed, program.variants(0, 1))
    assert operations > 0 and operands == "bfloat16"
    traced = jax.eval_shape(
        lambda state, feed: program.jitted(state, feed, program.resident, variants=program.variants(0, 1)),
        program.abstract,
        feed,
    )
    assert {x.dtype.name for x in jax.tree.leaves(traced)} == {"float32", "int32"}
    assert [x.dtype for x in jax.tree.leaves(traced[0])] == [x.dtype for x in jax.tree.leaves(program.abstract)]


def test_losses_are_near_those_of_float32(tmp_path):
    found = []
    for choice in ({}, BFLOAT16):
        program = build(shrunk("classifier", tmp_path, **choice))
        _, metrics = program.update(program.init(), next(program.feeds(0)), program.variants(0, 1))
        found.append(float(metrics["loss"].total[0] / metrics["loss"].count[0]))
    assert found[1] == pytest.approx(found[0], rel=0.02) and found[0] != found[1]
