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
# Verb -> what a run must have for it.
NEEDS = {
    "sample": lambda run: run.method.sample,
    "interpolate": lambda run: run.method.latents and run.method.decode and run.method.vocabulary is None,
    "reconstruct": lambda run: run.method.reconstruct,
    "complete": lambda run: run.method.complete,
    "evaluate": lambda run: True,
    "export-dataset": lambda run: run.method.sample and all(c.kind == "label" for c in run.method.conditions.values()),
    "report": lambda run: True,
    "detect": lambda run: run.method.sample and not any(side % 4 for side in run.spec.shape[:2]),  # it has convolutions
    "bench": lambda run: run.method.step,
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
    loaded = gen_jax.load(run)
    given = any(about.kind != "label" for about in loaded.method.conditions.values())
    for verb, flags in VERBS.items():
        capsys.readouterr()
        status = main([verb, str(run), *flags, *(["--condition=test"] if given and verb in ASKED else [])])
        told = capsys.readouterr()
        errors = [line for line in told.err.splitlines() if line.startswith("error: ")]
        if NEEDS[verb](loaded):
            assert (status, errors) == (0, []), (verb, told.err)
        else:
            assert (status, len(errors)) == (2, 1), (verb, told.err)
    for verb, more in (("compare", []), ("study", ["make"])):
        assert main([verb, *more, str(run), *([str(run), "--out", str(tmp_path / "s.html")] if more else [])]) in (0, 2)
    assert main(["inspect", str(next(iter((run / "samples").glob("*.png")), run / "reals.png"))]) == 0
    records = [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]
    assert records and all(record["protocol"] for record in records)
