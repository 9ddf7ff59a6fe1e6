"""The table of several runs: what stands in it, and that different protocols cannot hide."""

import json

import pytest

from gen_jax.cli.main import main
from gen_jax.evaluation.compare import compare, configs, configs_table, table
from gen_jax.runtime import logbook
from gen_jax.runtime.files import write_sealed


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


def test_only_what_changes_the_meaning_is_marked(tmp_path):
    """A run with an average beside one without, as the two of the README; other seeds, more sets; a newer commit."""
    same = {"seed": 0, "sampling_seeds": ["0-9"], "kernel_seed": 0, "n_floor": 10, "code": "0.1.0+aaaaaaa"}
    other = {"seed": 1, "sampling_seeds": ["7-16", "17-26"], "kernel_seed": 1, "n_floor": 9, "code": "0.1.0+bbbbbbb"}
    a = a_run(tmp_path, "a", [record(**same)])
    b = a_run(tmp_path, "b", [record(weights="raw", **other)])
    assert not compare([a, b])[0]["columns"]["b final"]["differs"]
    for field, value in {"n_generated": 7, "extractor": "pixels", "data_sha256": "f", "k": 5, "code": "0.2.0"}.items():
        c = a_run(tmp_path, f"c_{field}", [record(**{**same, field: value})])
        (mark,) = compare([a, c])[0]["columns"][f"c_{field} final"]["differs"]
        assert mark.startswith(f"{field} (") and str(value) in mark


def test_each_metric_says_which_way_is_better(tmp_path):
    rows = [record("fd_classifier"), record("precision"), record("vendi"), record("kl")]
    lines = table(compare([a_run(tmp_path, "a", rows)])).splitlines()
    assert [line.split()[1:-1] for line in lines[1:5]] == [["lower"], ["higher"], ["as", "real"], []]


def test_what_differs_in_the_configs_is_listed(tmp_path):
    runs = [a_run(tmp_path, name, [record()]) for name in ("a", "b")]
    # As a run writes them: the hash in each is no field of the config.
    write_sealed(runs[0] / "config.json", {"seed": 0, "optimizer": {"b1": 0.5, "clip": 1.0}})
    write_sealed(runs[1] / "config.json", {"seed": 0, "optimizer": {"b1": 0.9}, "model": {"width": 8}})
    found = configs(runs)
    assert found == {"model.width": {"b": 8}, "optimizer.b1": {"a": 0.5, "b": 0.9}, "optimizer.clip": {"a": 1.0}}
    lines = [line.split() for line in configs_table(found, ["a", "b"]).splitlines()]
    assert lines[1:] == [["model.width", "--", "8"], ["optimizer.b1", "0.5", "0.9"], ["optimizer.clip", "1.0", "--"]]
    assert configs_table(configs(runs[:1]), ["a"]).endswith("nothing")


def test_a_quick_score_never_stands_in_the_row_of_a_whole_one(tmp_path):
    a = a_run(tmp_path, "a", [record(value=1.0), record(value=9.0, quick={"images": 10})])
    b = a_run(tmp_path, "b", [record(value=8.0, quick={"images": 10})])
    rows = {row["metric"]: {c: cell["value"] for c, cell in row["columns"].items()} for row in compare([a, b])}
    assert rows == {"fd": {"a final": 1.0}, "fd (quick)": {"a final": 9.0, "b final": 8.0}}


def test_warnings_stand_below_the_table_once(tmp_path):
    rows = [record(name) | {"warning": "features of no use"} for name in ("fd", "kd")]
    text = table(compare([a_run(tmp_path, "a", rows)]))
    assert text.count("warning, a final: features of no use") == 1


def test_best_stands_beside_final_and_training_is_left_out(tmp_path):
    rows = [record(checkpoint="training", value=7.0), record(checkpoint="best", step=5, value=0.5), record()]
    (row,) = compare([a_run(tmp_path, "a", rows)])
    assert {column: cell["value"] for column, cell in row["columns"].items()} == {"a best": 0.5, "a final": 1.0}


def test_refused_scores_are_no_numbers(tmp_path):
    text = table(compare([a_run(tmp_path, "a", [record(value=None) | {"refused": "too few"}])]))
    assert "refused" in text


def test_verb(tmp_path, capsys):
    runs = [str(a_run(tmp_path, name, [record()])) for name in ("a", "b")]
    assert main(["compare", *runs, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["scores"][0]["metric"] == "fd" and told["configs"] == {}
    assert main(["compare", *runs]) == 0
    assert json.loads(capsys.readouterr().out) == told, "in a pipe too"
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
    cell = {"value": 1.0, "spread": None, "refused": None, "floor": None, "n_floor": None, "warning": None}
    cells = {str(i): {**cell, "differs": [f"k{i}"]} for i in range(count)}
    text = table([{"metric": "m", "better": "", "columns": cells}])
    assert all(f"k{i}" in text for i in range(count))


def test_nothing_is_mixed_in_one_column(tmp_path):
    rows = [record(step=10), record(step=20, value=2.0), record(step=20, value=3.0, weights="raw")]
    (row,) = compare([a_run(tmp_path, "a", rows)])
    values = {column: cell["value"] for column, cell in row["columns"].items()}
    assert values == {"a final 10": 1.0, "a final 20 average": 2.0, "a final 20 raw": 3.0}
    assert not any(cell["differs"] for cell in row["columns"].values())


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
