"""Every verb on a run of every shipped config: it works, or says in one `error:` line why it cannot."""

import json
import shutil

import pytest
from shrunk import each, run_of

import gen_jax
from gen_jax.cli.main import main

QUICK = ["--importance_samples=2", "--images=20", "--seeds=1", "--limit=20", "--extractor=pixels"]
VERBS = {
    "sample": ["--seeds=0-3"],
    "interpolate": ["--seeds=0-1", "--frames=2"],
    "reconstruct": ["--count=4"],
    "complete": ["--count=2", "--seeds=0"],
    "evaluate": QUICK,
    "export-dataset": ["--count=4"],
    "report": [],
    "detect": ["--count=50"],
    "bench": [],
}
ASKED = ("sample", "interpolate")  # what nobody but the user can say images are asked for by
# Verb -> what a method must have for it.
NEEDS = {
    "sample": lambda method: method.sample,
    "interpolate": lambda method: method.latents and method.decode and method.vocabulary is None,
    "reconstruct": lambda method: method.reconstruct,
    "complete": lambda method: method.complete,
    "evaluate": lambda method: True,
    "export-dataset": lambda method: method.sample and all(c.kind == "label" for c in method.conditions.values()),
    "report": lambda method: True,
    "detect": lambda method: method.sample,
    "bench": lambda method: method.step,
}


@pytest.fixture
def quick(monkeypatch):
    """Classifiers of two steps, and five calls of an update."""
    monkeypatch.setattr("gen_jax.cli.bench.SECONDS", 0.0)
    from gen_jax.config import load
    from gen_jax.evaluation import detect

    steps = [("train.steps", "2")]
    monkeypatch.setattr(detect, "load_config", lambda name, overrides=(): load(name, [*overrides, *steps]))


@pytest.mark.parametrize("name", each())
def test_works_or_says_why_in_one_line(name, shared, tmp_path, capsys, quick):
    run = tmp_path / name
    shutil.copytree(run_of(name, shared), run)
    method = gen_jax.load(run).method
    given = any(about.kind != "label" for about in method.conditions.values())
    for verb, flags in VERBS.items():
        capsys.readouterr()
        status = main([verb, str(run), *flags, *(["--condition=test"] if given and verb in ASKED else [])])
        told = capsys.readouterr()
        errors = [line for line in told.err.splitlines() if line.startswith("error: ")]
        if NEEDS[verb](method):
            assert (status, errors) == (0, []), (verb, told.err)
        else:
            assert (status, len(errors)) == (2, 1), (verb, told.err)
    for verb, more in (("compare", []), ("study", ["make"])):
        assert main([verb, *more, str(run), *([str(run), "--out", str(tmp_path / "s.html")] if more else [])]) in (0, 2)
    assert main(["inspect", str(next(iter((run / "samples").glob("*.png")), run / "reals.png"))]) == 0
    records = [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]
    assert records and all(record["protocol"] for record in records)
