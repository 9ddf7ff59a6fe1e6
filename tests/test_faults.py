"""A small fault campaign; the whole one is experiments/faults.py."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


@pytest.fixture
def faults(monkeypatch):
    monkeypatch.syspath_prepend(EXPERIMENTS)
    import faults

    return faults


@pytest.fixture
def runs(faults):
    return sys.modules["harm.runs"]


@pytest.mark.slow
def test_nothing_is_lost_by_kills_torn_rows_and_what_is_no_number(faults, tmp_path, capsys):
    words = [str(tmp_path), "--kills=3", "--cases", "vae", "--rows", "torn rows", "parameters that are no numbers"]
    assert faults.main(words) == 0
    told = capsys.readouterr().out
    assert "5 faults, 0 rows in which something was lost" in told
    rows = [json.loads(line) for line in (tmp_path / "tally.jsonl").read_text().splitlines()]
    assert [row["row"] for row in rows] == ["kills and signals", "torn rows", "parameters that are no numbers"]
    assert faults.main(words) == 0, "what was done is not done again"
    assert "nothing lost" not in capsys.readouterr().out


@pytest.mark.slow
def test_what_differs_is_seen(faults, runs, tmp_path):
    case = next(case for case in runs.CASES if case.name == "forest")
    reference, _ = faults.undisturbed(case, tmp_path)
    runs.compare(reference, reference)
    shutil.copytree(reference, tmp_path / "run")
    with open(tmp_path / "run/metrics.jsonl", "a") as file:
        file.write("\n")
    with pytest.raises(runs.Lost, match="metrics.jsonl differs"):
        runs.compare(tmp_path / "run", reference)
    other = case._replace(words=(*case.words, "--config.seed=1"))
    runs.go_on(other, tmp_path / "other")
    for name in ("metrics.jsonl", "samples"):
        subprocess.run(["cp", "-rT", reference / name, tmp_path / "other" / name], check=True)
    with pytest.raises(runs.Lost, match="of the checkpoint differs"):
        runs.compare(tmp_path / "other", reference)
