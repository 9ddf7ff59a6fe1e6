"""Evaluation of a run: the classification accuracy score, and the accuracy of a classifier's own run."""

import json
import shutil
import sys

import pytest
from shrunk import shrunk

import gen_jax
from gen_jax.cli.main import main
from gen_jax.evaluation import evaluate, extractors
from gen_jax.runtime import logbook
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_what_a_classification_accuracy_takes_is_told(runs, short, tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path / "cache"))  # no classifier is kept there yet
    told = []
    choices = {"quick": True, "extractor": "random", "images": 90, "classification_accuracy": True}
    gen_jax.load(runs / "classes").evaluate(**choices, tell=lambda *stage: told.append(stage))
    drawn = [stage for stage in told if stage[0] == "images of the data set"]
    assert [done / total for _, done, total in drawn] == [0.0, 1.0]
    for name in ("folder", "npz"):
        learned = [stage for stage in told if stage[0] == f"classifier of {name}"]
        assert learned[0][1] == 0 and learned[-1][1:] == (5, 5)


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


@pytest.fixture
def run(runs, tmp_path):
    """A copy of a run without scores."""
    shutil.copytree(runs / "plain", tmp_path / "run", ignore=shutil.ignore_patterns("evaluations.jsonl"))
    return tmp_path / "run"


SHORT = ["--quick", "--extractor=random", "--images=8", "--importance_samples=2"]


def test_quick_says_what_it_left_out_and_is_the_same_in_python(run, capsys, monkeypatch):
    monkeypatch.setattr(evaluate, "QUICK", {**evaluate.QUICK, "limit": 6, "reference": 40})
    assert main(["evaluate", str(run), *SHORT, f"--out={run / 'scores.json'}"]) == 0
    told = capsys.readouterr()
    records = json.loads(told.out)
    assert (run / "scores.json").read_text() == told.out and logbook.read_records(run / "evaluations.jsonl") == records
    by_name = {record["metric"]: record for record in records}
    assert all(record["protocol"]["quick"] == evaluate.QUICK for record in records)
    assert not [name for name in by_name if name.startswith("kd_")] and "spread" not in by_name["precision"]
    precision, nll = by_name["precision"]["protocol"], by_name["nll"]["protocol"]
    assert (precision["n_generated"], precision["n_reference"], nll["images"], nll["k"]) == (8, 40, 6, 2)
    opened = gen_jax.load(run)
    assert repr(opened) == f"Run({str(run)!r}, vae, step 1, raw weights)"
    assert opened.evaluate(quick=True, extractor="random", images=8, importance_samples=2) == records


def test_a_table_on_a_terminal_json_where_it_is_asked_for(run, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert main(["evaluate", str(run), *SHORT]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.split() == ["better", "run", "final", "real", "images"]
    assert any(line.startswith("precision (quick)") and " higher " in line for line in lines)
    assert main(["evaluate", str(run), *SHORT, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["metric"] == "elbo"


def test_scores_are_printed_where_they_cannot_be_recorded(run, capsys):
    (run / "evaluations.jsonl").mkdir()  # root may write into any directory
    assert main(["evaluate", str(run), *SHORT]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)
    assert [line for line in told.err.splitlines() if "the scores are not recorded in the run" in line]


def test_a_file_that_cannot_be_written_is_refused_before_the_work(run, capsys, monkeypatch):
    monkeypatch.setattr(evaluate, "evaluate", lambda *_, **__: pytest.fail("the work was done"))
    (run / "file").write_text("")
    for out, message in ((run, "is a directory"), (run / "file/scores.json", "cannot be written")):
        assert main(["evaluate", str(run), *SHORT, f"--out={out}"]) == 2
        (error,) = capsys.readouterr().err.splitlines()
        assert error.startswith(f"error: --out={out}: {message}")


def test_every_stage_is_told_from_its_beginning_to_its_end(run, tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path / "cache"))  # no features are kept there yet
    monkeypatch.setattr(evaluate, "PIXELS_AT_ONCE", {"cpu": 1})
    told = []
    gen_jax.load(run).evaluate(
        quick=True, extractor="random", images=300, importance_samples=40, tell=lambda *stage: told.append(stage)
    )
    stages = {}
    for stage, done, total in told:
        stages.setdefault(stage, []).append(done / total)
    assert list(stages) == [
        "bound of test images",
        "likelihood of test images",
        "reconstructions of test images",
        "features of npz train",
        "features of npz test",
        "scores of test images",
        "samples of seeds 0 to 299",
        "features of set 1 of 1",
        "scores of set 1 of 1",
    ]
    assert all(shares[0] == 0.0 and shares == sorted(shares) for shares in stages.values())
    assert all(shares[-1] == 1.0 for stage, shares in stages.items() if not stage.startswith("scores"))
    assert 0.5 in stages["likelihood of test images"] and len(stages["samples of seeds 0 to 299"]) == 3


@pytest.mark.slow
def test_scores_in_the_features_of_a_poor_classifier_carry_a_warning(run, short, capsys):
    assert main(["evaluate", str(run), "--quick", "--images=20"]) == 0
    told = capsys.readouterr()
    by_name = {record["metric"]: record.get("warning", "") for record in json.loads(told.out)}
    (line,) = [line for line in told.err.splitlines() if line.startswith("warning: ")]
    assert "of the test images only" in line and "use the extractor random, or inception" in line
    assert {by_name[name] for name in ("fd_classifier", "precision", "copies", "classes_found")} == {line[9:]}
    assert not any(by_name[name] for name in ("elbo", "mean_pairwise_distance", "lbp_similarity", "lab_wasserstein"))


@pytest.mark.parametrize(
    ("accuracy", "most_frequent", "trusted"),
    [
        (0.83, 0.1, True),
        (0.81, 0.1, False),
        (0.91, 0.5, True),
        (0.89, 0.5, False),
        (0.95, 0.95, False),
        (1.0, 1.0, False),
    ],
)
def test_which_classifier_is_trusted(accuracy, most_frequent, trusted):
    assert (extractors.doubt(accuracy, most_frequent) == "") == trusted
