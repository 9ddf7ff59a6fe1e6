"""A network, a loss, a method and a data set of the user's own, in one folder outside the package."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

import gen_jax
from gen_jax import own
from gen_jax.cli.main import main
from gen_jax.runtime import checkpoint

PAGE = (Path(__file__).parent.parent / "docs/own.md").read_text()
FILES = dict(
    re.findall(r"^```python\n# mine/(\w+\.py)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
)  # the page's example
SHORT = {"data.batch_size": 8, "data.count": 90, "mesh.devices": 1, "objective.penalty_every": 1, "model.condition": ""}
SHORT |= {"model.discriminator.width": 4, "model.latent_size": 4, "train.log_every": 1, "train.sample_every": 0}
QUICK = ["--images=20", "--seeds=1", "--extractor=random", "--importance_samples=2"]


@pytest.fixture
def mine(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def flags(mine, **more):
    own_pieces = {
        "model.generator.name": f"{mine}/net.py:Generator",
        "objective.loss": f"{mine}/loss.py:wide_hinge",
        "data.name": f"{mine}/data.py:dots",
        "model.generator.width": 12,
        "objective.margin": 2.0,
        "train.steps": 4,
        "optimizer.learning_rate": 1e-3,
        "train.checkpoint_every": 2,
    }
    return ["train", *(f"--config.{path}={value}" for path, value in {**own_pieces, **SHORT, **more}.items())]


@pytest.mark.slow
def test_trained_killed_resumed_moved_drawn_scored_and_reported(mine, tmp_path, capsys):
    assert main([*flags(mine), f"--workdir={tmp_path / 'whole'}"]) == 0
    # A real kill of a process of its own, after its first checkpoint.
    long = flags(mine, **{"train.steps": 100_000})
    process = subprocess.Popen([sys.executable, "-m", "gen_jax", *long, f"--workdir={tmp_path / 'run'}"])
    while not checkpoint.committed(tmp_path / "run/checkpoints"):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    for step in checkpoint.committed(tmp_path / "run/checkpoints")[1:]:
        shutil.rmtree(tmp_path / f"run/checkpoints/{step}")
    first = checkpoint.committed(tmp_path / "run/checkpoints")[0]
    if first > 2:  # the kill came late, and the first ones had been deleted: the run of four steps starts over
        shutil.rmtree(tmp_path / "run/checkpoints")
    assert main([*flags(mine), f"--workdir={tmp_path / 'run'}"]) == 0
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()

    # On another machine: the run directory alone.
    drawn = gen_jax.load(tmp_path / "run").sample(range(4))
    shutil.copytree(tmp_path / "run", tmp_path / "elsewhere/run")
    shutil.rmtree(mine)
    shutil.rmtree(tmp_path / "run")
    run = gen_jax.load(tmp_path / "elsewhere/run")
    np.testing.assert_array_equal(run.sample(range(4)), drawn)
    assert run.config.model.generator.width == 12 and run.config.objective.margin == 2.0
    assert run.spec.size == 60 and run.dataset("test").spec.size == 30
    for verb in (["sample"], ["evaluate", *QUICK], ["report"]):
        assert main([verb[0], str(run.path), *verb[1:]]) == 0, capsys.readouterr().err
    assert sorted(p.name for p in (run.path / "own").rglob("*.py")) == ["data.py", "layers.py", "loss.py", "net.py"]


@pytest.mark.slow
def test_what_a_piece_computes_is_what_is_trained(mine, tmp_path):
    """Another margin, and another source of the same name, give another run; a changed file refuses to go on."""
    for name, value in (("one", 2.0), ("other", 0.5)):
        assert main([*flags(mine, **{"objective.margin": value}), f"--workdir={tmp_path / name}"]) == 0
    rows = ((tmp_path / name / "metrics.jsonl").read_text().splitlines()[0] for name in ("one", "other"))
    wide, narrow = (json.loads(row)["d"] for row in rows)
    assert wide - narrow == pytest.approx(2 * (2.0 - 0.5), rel=1e-5), "no logit of the first step is beyond a margin"
    # The activation in a neighbour of the file that is named: same config, other source.
    (mine / "layers.py").write_text(FILES["layers.py"].replace("tanh", "sin"))
    (tmp_path / "one/DONE").unlink()
    shutil.rmtree(tmp_path / "one/checkpoints/4")
    before = gen_jax.load(tmp_path / "one").sample(range(4))
    assert main([*flags(mine, **{"objective.margin": 2.0}), f"--workdir={tmp_path / 'one'}"]) == 2
    assert main([*flags(mine), f"--workdir={tmp_path / 'sin'}"]) == 0
    np.testing.assert_array_equal(gen_jax.load(tmp_path / "one").sample(range(4)), before)
    assert (gen_jax.load(tmp_path / "sin", step=2).sample(range(4)) != before).any()


def test_a_method_of_ones_own(mine, tmp_path):
    command = ["train", f"--config={mine / 'config.py'}", "--config.model.level=0.2", f"--workdir={tmp_path / 'run'}"]
    assert main(command) == 0
    shutil.rmtree(mine)
    assert (gen_jax.load(tmp_path / "run").sample(range(3)) == 51).all()


CASES = {
    "no file": ("model.generator.name", "nope.py:Generator", "no file nope.py"),
    "no such name": ("model.generator.name", "{mine}/net.py:Critic", "no Critic in"),
    "raises": ("objective.loss", "{mine}/bad.py:loss", "bad.py line 2: ZeroDivisionError"),
    "syntax": ("objective.loss", "{mine}/syntax.py:loss", "syntax.py line 1: SyntaxError"),
    "plain import": ("objective.loss", "{mine}/plain.py:loss", "from .layers import ..."),
    "lacks a field": ("model.generator.name", "{mine}/bare.py:Generator", "unexpected keyword argument 'conditions'"),
    "a field out of range": ("objective.margin", "-1", "objective.margin=-1.0: must be >= 0"),
    "no such choice": ("model.discriminator.name", "net.txt:Critic", "no such discriminator"),
}


@pytest.mark.parametrize("case", CASES)
def test_refused_in_one_line(case, mine, tmp_path, capsys):
    (mine / "bad.py").write_text("x = 1\n1 / 0\n")
    (mine / "bare.py").write_text(FILES["net.py"].replace("    conditions: tuple = ()\n", ""))
    (mine / "syntax.py").write_text("def loss(:\n")
    (mine / "plain.py").write_text("import layers\n")
    path, value, expected = CASES[case]
    assert main([*flags(mine, **{path: value.format(mine=mine)}), f"--workdir={tmp_path / 'run'}"]) == 2
    told = capsys.readouterr().err
    (line,) = (line for line in told.splitlines() if line.startswith("error: "))
    assert expected in line and "Traceback" not in told and not (tmp_path / "run").exists()


def test_each_folder_is_a_package_of_its_own(mine, tmp_path):
    """Files of one name in two folders, one of them a copy, do not meet; nor do they in sys.modules."""
    shutil.copytree(mine, tmp_path / "copy")
    (tmp_path / "copy/layers.py").write_text(FILES["layers.py"] + "\nMARK = 1\n")
    modules = [own.load(f"{folder}/net.py:Generator")[0] for folder in (mine, tmp_path / "copy")]
    assert modules[0].Block is not modules[1].Block and "net" not in sys.modules
    assert own.load(f"{mine}/net.py:Generator")[0] is modules[0], "unchanged: not read again"
    (mine / "net.py").write_text(FILES["net.py"].replace("8", "9"))
    assert own.rows(f"{mine}/net.py:Generator") == {}
    assert own.load(f"{mine}/net.py:Generator")[1].width == 9
    assert jax.tree.leaves(modules[1].Generator.width) == [8]
