"""A method in a file outside the package: registered by a user's script, trained, loaded, drawn from."""

import importlib.util
import json
import sys

import numpy as np
import pytest

import gen_jax
from gen_jax.cli.main import main
from gen_jax.config import base, resolve
from gen_jax.evaluation.during_training import observers
from gen_jax.methods import METHODS
from gen_jax.train import train

STRIPES = '''
"""Stripes whose phase counts its updates: no parameters, no floats, no metrics."""

import dataclasses

import jax
import jax.numpy as jnp

from gen_jax import optimizers
from gen_jax.field import Field
from gen_jax.method import Method, born

FIELDS = {**optimizers.FIELDS, "model.period": Field(4, "pixels from stripe to stripe", least=2)}
DEFAULTS = {"train.steps": 2, "train.log_every": 1}


def make(config, spec):
    height, width, channels = spec.shape

    def init(key, example, resources):
        return born({}, collections={"stripes": {"phase": jnp.int32(0)}})

    def step(state, batches, key, hyper, variant):
        phase = state.collections["stripes"]["phase"] + 1
        return dataclasses.replace(state, step=state.step + 1, collections={"stripes": {"phase": phase}}), {}

    def sample(variables, keys, condition, temperature):
        columns = (jnp.arange(width) + variables.collections["stripes"]["phase"]) % config.model.period == 0
        image = jnp.broadcast_to(columns[None, :, None], (height, width, channels)).astype(jnp.float32)
        return jnp.broadcast_to(image, (keys.shape[0], *image.shape))

    return Method(init=init, step=step, sample=sample)
'''


@pytest.fixture
def stripes(tmp_path, monkeypatch):
    (tmp_path / "stripes.py").write_text(STRIPES)
    spec = importlib.util.spec_from_file_location("stripes", tmp_path / "stripes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(METHODS, "stripes", module)
    return module


def test_registered_trained_loaded_and_evaluated(stripes, tmp_path, capsys):
    config = base("stripes")
    config.data.batch_size = 8
    config.mesh.devices = 1
    config = resolve(config, [("model.period", "5")])
    train(config, tmp_path / "run", observers=observers(config))
    assert [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()] == [
        {"step": 1},
        {"step": 2},
    ]
    assert (tmp_path / "run/samples/step_000002.png").exists()
    image = gen_jax.load(tmp_path / "run").sample([7])[0, 0, :, 0]
    np.testing.assert_array_equal(np.flatnonzero(image), np.arange(3, 16, 5))
    flags = ["--images=20", "--seeds=1", "--extractor=pixels"]
    assert main(["evaluate", str(tmp_path / "run"), *flags]) == 0
    assert {"precision", "recall"} <= {record["metric"] for record in json.loads(capsys.readouterr().out)}


def test_a_config_file_may_bring_its_method(stripes, tmp_path, monkeypatch, capsys):
    """The file registers the module beside it, and `gen-jax train --config=FILE` finds both."""
    monkeypatch.delitem(METHODS, "stripes")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "stripes", raising=False)
    (tmp_path / "mine.py").write_text(
        "import stripes\nfrom gen_jax.config import base\nfrom gen_jax.methods import METHODS\n\n"
        "METHODS['stripes'] = stripes\n\ndef get_config():\n    return base('stripes')\n"
    )
    assert main(["train", f"--config={tmp_path / 'mine.py'}", f"--workdir={tmp_path / 'run'}"]) == 0
    assert main(["train", f"--config={tmp_path / 'mine.py'}", "--config.model.period=1"]) == 2
    assert "model.period=1: must be >= 2" in capsys.readouterr().err
