"""Evaluation of a run: the classification accuracy score, and the accuracy of a classifier's own run."""

import json

import pytest
from shrunk import shrunk

from gen_jax.cli.main import main
from gen_jax.evaluation import extractors
from gen_jax.train import train


@pytest.fixture
def short(monkeypatch):
    """Classifiers of five steps."""
    from gen_jax.config import load

    monkeypatch.setattr(extractors, "load_config", lambda name: load(name, [("train.steps", "5")]))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    train(shrunk("vae_digits", root, train__steps=1), root / "plain")
    train(shrunk("vae_digits", root, train__steps=1, model__condition="label"), root / "classes")
    train(shrunk("classifier", root, train__steps=2), root / "classifier")
    return root


FLAGS = ["--importance_samples=1", "--seeds=1", "--extractor=random", "--classification_accuracy"]


def test_classification_accuracy_learns_from_samples_and_is_asked_about_real_images(runs, short, capsys):
    capsys.readouterr()
    assert main(["evaluate", str(runs / "classes"), "--images=100", *FLAGS]) == 0
    records = {record["metric"]: record for record in json.loads(capsys.readouterr().out)}
    score = records["classification_accuracy"]
    # An eighth of the test images decides: 8 of them, so the values are eighths.
    assert score["value"] * 8 == pytest.approx(round(score["value"] * 8)) and 0.0 <= score["floor"] <= 1.0
    protocol = score["protocol"]
    assert protocol["n_trained_on"] == 90 and protocol["sampling_seeds"] == "0-99" and protocol["data"] == "npz test"
    # The samples are gone by now; what was trained on them is known by what they were.
    assert main(["evaluate", str(runs / "classes"), "--images=100", *FLAGS]) == 0
    again = {record["metric"]: record for record in json.loads(capsys.readouterr().out)}
    assert again["classification_accuracy"] == score


def test_samples_without_labels_or_without_some_class_are_refused(runs, short, capsys):
    assert main(["evaluate", str(runs / "plain"), "--images=20", *FLAGS]) == 2
    assert "needs a model of labels" in capsys.readouterr().err
    assert main(["evaluate", str(runs / "classes"), "--images=3", *FLAGS]) == 2
    assert "of 10 classes" in capsys.readouterr().err
    assert not (runs / "plain/evaluations.jsonl").exists()


def test_a_classifier_is_scored_by_its_accuracy(runs, capsys):
    capsys.readouterr()
    assert main(["evaluate", str(runs / "classifier")]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["metric"] == "accuracy" and 0.0 <= record["value"] <= 1.0 and record["protocol"]["images"] == 8
