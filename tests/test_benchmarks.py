"""`experiments/benchmarks/all.py`: its table is sound, and it runs with and without peers. No test reads a time."""

import ast
import importlib
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "experiments" / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """The command as a module; its neighbours are forgotten afterwards, for they have common names."""
    monkeypatch.syspath_prepend(FOLDER)
    module = importlib.import_module("all")
    monkeypatch.setattr(module.workers, "busy_cores", lambda: 0.0)
    yield module
    for name in ("all", "rows", "workers"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_every_worker_is_a_function_that_takes_its_options(benchmark, device):
    rows = benchmark.table.rows(device)
    assert len({row.name for row in rows}) == len(rows) >= 14
    for row in rows:
        assert next(iter(row.workers)).startswith("gen_jax")
        for worker in row.workers.values():
            module, function = worker.build.split(":")
            tree = ast.parse((FOLDER / f"{module}.py").read_text())  # not imported: torch may be missing
            (found,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
            takes = {argument.arg for argument in found.args.args[1:]}
            beside = {"channels_last", "fused", "compiled"} if found.args.kwarg else set()
            needed = {argument.arg for argument in found.args.args[1 : len(found.args.args) - len(found.args.defaults)]}
            assert needed <= worker.options.keys() <= takes | beside, worker


def test_a_row_runs_without_its_peers(benchmark, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(benchmark.workers, "installed", lambda package: False)
    file = tmp_path / "found.json"
    assert benchmark.main(["--rows=input_resident", "--rounds=2", "--seconds=0.05", f"--json={file}"]) == 0
    out = capsys.readouterr().out
    assert "PyTorch, indexed tensor: left out, torch is not installed" in out and "ms/1,000 images" in out
    (row,) = json.loads(file.read_text())["rows"]
    (ours,) = row["workers"].values()
    assert len(ours["rounds"]) == 2 and all(r["wall"] > 0 and r["peak"] > 10 for r in ours["rounds"])


@pytest.mark.extra
def test_a_row_runs_beside_pytorch(benchmark, capsys):
    pytest.importorskip("torch")
    assert benchmark.main(["--rows=sample_vae", "--rounds=1", "--seconds=0.1", "--markdown"]) == 0
    out = capsys.readouterr().out
    assert "; 207,984 parameters" in out and "FAILED" not in out and "left out" not in out
    ratios = [line.split("|")[1].strip() for line in out.splitlines() if line.startswith("|")][2:]
    assert ratios[0] == "" and float(ratios[1].replace(",", "")) > 0


def worker(wall, parameters=(3, 5), **values):
    rounds = [{"wall": x, "processor": x, "peak": 100.0} for x in wall]
    return {"first": 1.0, "parameters": parameters, "values": values, "rounds": rounds}


def test_the_ratio_is_of_medians_and_below_one_where_gen_jax_is_faster(benchmark):
    sides = {"gen_jax": [0.3, 0.1, 0.2], "gen_jax, five steps a call": [0.1, 0.1, 0.1], "PyTorch": [0.4, 0.5, 9.0]}
    row = {"images": 64, "workers": {name: worker(wall) for name, wall in sides.items()}}
    ours, _, theirs = benchmark.lines(row)
    assert ours[:4] == ["", "gen_jax", "200", "100 to 300"] and ours[5] == "320"
    assert theirs[:4] == ["0.40, 0.20", "PyTorch", "500", "400 to 9,000"]


def test_sides_that_differ_fail(benchmark):
    same = {"gen_jax": worker([1], nll=(90.0, 1e-3)), "PyTorch": worker([1], nll=(90.0005, 1e-3))}
    assert benchmark.differences(same, {}) == []
    for other in (worker([1], nll=(90.002, 1e-3)), worker([1], nll=(float("nan"), 1e-3)), worker([1], (3, 6))):
        (failed,) = benchmark.differences({**same, "PyTorch": other}, {})
        assert "nll differs" in failed or "numbers of parameters" in failed
    assert benchmark.differences({}, {"gen_jax": benchmark.workers.DIED})
    assert benchmark.differences(same, {"pythae": "pythae is not installed"}) == []


def test_no_such_row(benchmark, capsys):
    assert benchmark.main(["--rows=dcgan,vea20"]) == 2
    assert capsys.readouterr().err.startswith("error: --rows=vea20: no such row; there are: dcgan, ")
