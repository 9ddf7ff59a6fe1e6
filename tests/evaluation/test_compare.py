"""The table of several runs: what stands in it, and that different protocols cannot hide."""

import json

import pytest

from gen_jax.cli.main import main
from gen_jax.evaluation.compare import compare, table
from gen_jax.runtime import logbook


def a_run(folder, name, records):
    run = folder / name
    run.mkdir()
    (run / "config.json").write_text("{}")
    (run / "evaluations.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    return run


def record(metric="fd", value=1.0, checkpoint="final", step=10, weights="average", **protocol):
    known = {"extractor": "classifier", "n_generated": 1000, "objective": {"loss": "hinge"}}
    about = {"step": step, "weights": weights, "checkpoint": checkpoint}
    return {"metric": metric, "value": value, **about, "protocol": {**known, **protocol}}


def test_equal_protocols_are_not_marked_and_the_latest_record_counts(tmp_path):
    a = a_run(tmp_path, "a", [record(value=9.0), record(value=1.5) | {"spread": 0.25, "floor": 0.5}])
    b = a_run(tmp_path, "b", [record(value=2.5, objective={"loss": "wasserstein"})])
    (row,) = compare([a, b])
    assert [cell["value"] for cell in row["columns"].values()] == [1.5, 2.5]
    assert row["columns"]["a final"]["floor"] == 0.5
    text = table([row])
    assert "1.5 ± 0.25" in text and "[a]" not in text and "a final" in text and "b final" in text


def test_different_protocols_are_marked_with_what_differs(tmp_path):
    a = a_run(tmp_path, "a", [record()])
    b = a_run(tmp_path, "b", [record(n_generated=50)])
    text = table(compare([a, b]))
    assert "1 [a]" in text and "[a] n_generated (1000 / 50)" in text


def test_best_stands_beside_final_and_training_is_left_out(tmp_path):
    rows = [record(checkpoint="training", value=7.0), record(checkpoint="best", step=5, value=0.5), record()]
    (row,) = compare([a_run(tmp_path, "a", rows)])
    assert {column: cell["value"] for column, cell in row["columns"].items()} == {"a best": 0.5, "a final": 1.0}


def test_refused_scores_are_no_numbers(tmp_path):
    text = table(compare([a_run(tmp_path, "a", [record(value=None) | {"refused": "too few"}])]))
    assert "refused" in text


def test_verb(tmp_path, capsys):
    runs = [str(a_run(tmp_path, name, [record()])) for name in ("a", "b")]
    assert main(["compare", *runs]) == 0 and "fd" in capsys.readouterr().out
    assert main(["compare", *runs, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["metric"] == "fd"
    for path, message in [(tmp_path / "nowhere", "no run in"), (a_run(tmp_path, "c", []), "has no scores")]:
        assert main(["compare", str(path)]) == 2
        assert message in capsys.readouterr().err


def test_two_runs_of_one_name_are_told_apart(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
    runs = [a_run(tmp_path / folder, "same", [record()]) for folder in ("x", "y")]
    assert len(compare(runs)[0]["columns"]) == 2


@pytest.mark.parametrize("count", [1, 27])
def test_marks_never_run_out(count):
    cell = {"value": 1.0, "spread": None, "refused": None, "floor": None, "n_floor": None}
    cells = {str(i): {**cell, "differs": [f"k{i}"]} for i in range(count)}
    text = table([{"metric": "m", "columns": cells}])
    assert all(f"k{i}" in text for i in range(count))


def test_nothing_is_mixed_in_one_column(tmp_path):
    rows = [record(step=10), record(step=20, value=2.0), record(step=20, value=3.0, weights="raw")]
    (row,) = compare([a_run(tmp_path, "a", rows)])
    values = {column: cell["value"] for column, cell in row["columns"].items()}
    assert values == {"a final 10": 1.0, "a final 20 average": 2.0, "a final 20 raw": 3.0}
    marked = {column for column, cell in row["columns"].items() if cell["differs"]}
    assert marked == {"a final 20 raw"}


def test_extractors_have_rows_of_their_own(tmp_path):
    rows = [record("precision", value=0.5), record("precision", value=0.9, extractor="pixels")]
    found = compare([a_run(tmp_path, "a", rows)])
    assert [row["metric"] for row in found] == ["precision (classifier)", "precision (pixels)"]


def test_bounds_of_two_likelihoods_are_two_things(tmp_path):
    a = a_run(tmp_path, "a", [record("elbo", objective={"likelihood": "gaussian"})])
    b = a_run(tmp_path, "b", [record("elbo", objective={"likelihood": "bernoulli"})])
    assert "objective.likelihood (gaussian / bernoulli)" in table(compare([a, b]))


def test_a_floor_of_fewer_images_says_so(tmp_path):
    floor = {"floor": 0.25}
    text = table(compare([a_run(tmp_path, "a", [record(n_floor=299) | floor])]))
    assert "0.25 (of 299 images)" in text
    assert "of 299" not in table(compare([a_run(tmp_path, "b", [record(n_generated=299, n_floor=299) | floor])]))


def test_a_torn_last_record_is_left_out_and_a_broken_one_named(tmp_path, capsys):
    run = a_run(tmp_path, "a", [record(), record("kd")])
    whole = (run / "evaluations.jsonl").read_text()
    (run / "evaluations.jsonl").write_text(whole[:-20])
    assert [row["metric"] for row in compare([run])] == ["fd"]
    logbook.append_rows(run / "evaluations.jsonl", [record("kd")])
    assert [row["metric"] for row in compare([run])] == ["fd", "kd"]
    (run / "evaluations.jsonl").write_text("{broken\n" + whole)
    assert main(["compare", str(run)]) == 2
    assert "evaluations.jsonl, line 1" in capsys.readouterr().err
