"""`gen-jax train --resume`: the newest unfinished run of this config, or one line that says what there is."""

import json
import shutil

import pytest

from gen_jax.cli.main import main

FLAGS = ["--config=vae_digits", "--config.model.encoder.widths=8", "--config.model.decoder.widths=8"]
FLAGS += ["--config.train.steps=4", "--config.train.checkpoint_every=2", "--config.train.sample_every=0"]
FLAGS += ["--config.mesh.devices=1", "--config.train.log_every=1"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with runs/0001-..., done."""
    root = tmp_path_factory.mktemp("resume")
    assert main(["train", *FLAGS, f"--workdir={root}/runs/0001-vae_digits"]) == 0
    return root


@pytest.fixture
def root(finished, tmp_path, monkeypatch):
    shutil.copytree(finished / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def killed(root, name):
    """A copy of the run that was killed between its checkpoints."""
    path = root / "runs" / name
    shutil.copytree(root / "runs/0001-vae_digits", path)
    (path / "DONE").unlink()
    shutil.rmtree(path / "checkpoints/4")
    return path


@pytest.mark.slow
def test_goes_on_with_the_newest_unfinished_run_of_this_config(root, capsys):
    older, newer = killed(root, "0002-vae_digits"), killed(root, "0003-another-name")
    other = killed(root, "0004-vae_digits")
    config = json.loads((other / "config.json").read_text())
    config.pop("sha256", None)
    (other / "config.json").write_text(json.dumps({**config, "seed": 7}))
    assert main(["train", *FLAGS, "--resume"]) == 0
    error = capsys.readouterr().err
    assert "run runs/0003-another-name" in error and "resumed at step 2" in error
    assert (newer / "DONE").exists() and not (older / "DONE").exists() and not (other / "DONE").exists()
    whole = root / "runs/0001-vae_digits/metrics.jsonl"
    assert (newer / "metrics.jsonl").read_bytes() == whole.read_bytes()


def test_without_one_says_what_there_is(root, capsys):
    other = killed(root, "0002-vae_digits")
    config = json.loads((other / "config.json").read_text())
    config.pop("sha256", None)
    (other / "config.json").write_text(json.dumps({**config, "seed": 7}))
    before = sorted(root.rglob("*"))
    assert main(["train", *FLAGS, "--resume"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --resume: no unfinished run of this config in runs; there are: ")
    assert "runs/0002-vae_digits (seed (7 there, 0 here)), runs/0001-vae_digits (done)" in line
    assert sorted(root.rglob("*")) == before


def test_a_new_run_names_the_unfinished_one(root, capsys):
    killed(root, "0002-vae_digits")
    assert main(["train", *FLAGS]) == 0
    error = capsys.readouterr().err
    assert error.startswith("a new run; runs/0002-vae_digits is an unfinished one of this config: --resume")
    assert "run runs/0003-vae_digits" in error
