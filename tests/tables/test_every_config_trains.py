"""Every shipped config, shrunk: three updates, then the same from an earlier checkpoint, bit for bit."""

import json
import shutil

import jax
import numpy as np
import pytest
from shrunk import CONFIGS, each, run_of, three, trained

import gen_jax
from gen_jax.config import shipped
from gen_jax.runtime import checkpoint


def test_every_shipped_config_is_in_the_tables():
    assert set(CONFIGS) == set(shipped())


@pytest.mark.parametrize("name", each())
def test_trains_and_is_loaded(name, shared):
    run = run_of(name, shared)
    steps = checkpoint.committed(run / "checkpoints")
    assert (run / "DONE").exists() and steps[-1] == int((run / "DONE").read_text())
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, steps[-1] + 1))
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    loaded = gen_jax.load(run)
    assert loaded.step == steps[-1] and loaded.checkpoint == "final"
    assert (run / f"samples/step_{steps[-1]:06d}.png").exists() == (loaded.method.sample is not None)


@pytest.mark.parametrize("name", each())
def test_goes_on_bitwise_from_an_earlier_checkpoint(name, shared, tmp_path):
    """A method of one update starts over: the same again."""
    whole, again = run_of(name, shared), tmp_path / "again"
    shutil.copytree(whole, again)
    for step in checkpoint.committed(whole / "checkpoints")[1:] or [1]:
        shutil.rmtree(again / f"checkpoints/{step}")
    (again / "DONE").unlink()
    state = trained(three(name, shared), again).state
    assert (again / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    for x, y in zip(jax.tree.leaves(gen_jax.load(whole).state), jax.tree.leaves(state), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))
