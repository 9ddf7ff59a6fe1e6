"""Scores while training: the records, the best weights, and that neither changes what is trained."""

import json

import jax
import numpy as np
import pytest
from shrunk import shrunk
from shrunk import trained as train

import gen_jax
from gen_jax.cli.main import main
from gen_jax.errors import InputError, Interrupted
from gen_jax.runtime import checkpoint, logbook


def config(folder, **overrides):
    small = {"train__steps": 6, "train__checkpoint_every": 2, "train__evaluate_every": 2}
    small |= {"evaluate__extractor": "random", "evaluate__count": 64, "evaluate__best": "mean_pairwise_distance"}
    return shrunk("gan_digits", folder, **(small | overrides))


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judged")
    train(config(folder), folder / "run")
    return folder


def test_every_judgement_is_a_record(judged):
    rows = logbook.read_records(judged / "run/evaluations.jsonl")
    assert {row["step"] for row in rows} == {2, 4, 6} and {row["checkpoint"] for row in rows} == {"training"}
    assert all(row["weights"] == "average" and row["protocol"]["n_generated"] == 8 for row in rows)
    refused = [row for row in rows if row["metric"] == "fd_random"]
    assert refused and all(row["value"] is None and row["refused"] for row in refused)


def test_judging_does_not_change_what_is_trained(judged):
    train(config(judged, train__evaluate_every=0), judged / "quiet")
    states = [jax.tree.leaves(gen_jax.load(judged / name).state) for name in ("run", "quiet")]
    for one, other in zip(*states, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    assert (judged / "run/metrics.jsonl").read_bytes() == (judged / "quiet/metrics.jsonl").read_bytes()


def test_best_holds_the_weights_of_the_best_score(judged):
    rows = logbook.read_records(judged / "run/evaluations.jsonl")
    values = {row["step"]: row["value"] for row in rows if row["metric"] == "mean_pairwise_distance"}
    best = max(values, key=values.get)
    run = gen_jax.load(judged / "run", step="best")
    assert run.step == best and run.checkpoint == "best" and run.weights == "average" and run.state is None
    with checkpoint.opened(judged / "run/checkpoints", read_only=True) as saved:
        assert best in saved.steps()
    same = gen_jax.load(judged / "run", step=best)
    np.testing.assert_array_equal(run.sample(range(5)), same.sample(range(5)))


@pytest.mark.slow
def test_a_resumed_run_repeats_what_was_cut(judged, tmp_path, monkeypatch):
    """Stopped after the judgement of step 4, whose checkpoint is then lost: the same rows at the end."""
    from gen_jax.runtime import processes

    def stop(asked, call):
        return call == 5

    with monkeypatch.context() as patched:
        patched.setattr(processes, "must_stop", stop)
        with pytest.raises(Interrupted):
            train(config(judged), tmp_path / "run")
    import shutil

    for step in (4, 5):
        shutil.rmtree(tmp_path / f"run/checkpoints/{step}")
    # A score that a person asked for is not the loop's to cut.
    with open(tmp_path / "run/evaluations.jsonl", "a") as file:
        asked = {"metric": "by hand", "value": 1.0, "step": 4, "checkpoint": "step", "weights": "raw", "protocol": {}}
        file.write(json.dumps(asked) + "\n")
    train(config(judged), tmp_path / "run")
    rows = logbook.read_records(tmp_path / "run/evaluations.jsonl")
    assert [row for row in rows if row["metric"] != "by hand"] == logbook.read_records(judged / "run/evaluations.jsonl")
    assert len([row for row in rows if row["metric"] == "by hand"]) == 1
    assert gen_jax.load(tmp_path / "run", step="best").step == gen_jax.load(judged / "run", step="best").step


def test_best_can_be_sampled_by_the_verb(judged, tmp_path, capsys):
    assert main(["sample", str(judged / "run"), "--step=best", "--seeds=0-3"]) == 0
    assert "best" in capsys.readouterr().out


def test_what_cannot_be_is_refused(judged, tmp_path, capsys):
    with pytest.raises(InputError, match="8 samples are too few for a Frechet distance in 256 features"):
        train(config(judged, evaluate__best=""), tmp_path / "run")
    with pytest.raises(InputError, match="evaluate.count"):
        train(config(judged, evaluate__count=7, train__steps=8), judged / "run")
    with pytest.raises(InputError, match="evaluate.best=nope: there are: fd_random"):
        train(config(judged, evaluate__best="nope"), tmp_path / "run")
    with pytest.raises(InputError, match="no best checkpoint"):
        gen_jax.load(judged / "quiet", step="best")
    with pytest.raises(InputError, match="leave out --raw"):
        gen_jax.load(judged / "run", step="best", average=False)
