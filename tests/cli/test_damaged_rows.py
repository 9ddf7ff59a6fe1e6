"""Damaged rows of metrics.jsonl, timing.jsonl evaluations.jsonl: every reader names file and line."""

import shutil

import pytest
from shrunk import run_of, three, trained

from gen_jax.cli.main import main
from gen_jax.errors import InputError
from gen_jax.evaluation import during_training
from gen_jax.runtime import logbook

# What stands in the second line, and what is said of it.
NO_JSON = {
    b"[1]": "[1] is no object",
    b"null": "null is no object",
    b'"text"': "is no object",
    b"": "Expecting value",
    b"{broken": "Expecting property name",
    b"\xff\xfe\x00\x01": "can't decode",
    b"[" * 100_000: "nested too deeply",
}
ROWS = {
    b"{}": "it has no step",
    b'{"loss": 1.0}': "it has no step",
    b'{"step": "2", "loss": 1.0}': "step '2' is no whole number",
    b'{"step": 2.5}': "step 2.5 is no whole number",
    b'{"step": true}': "step True is no whole number",
    b'{"step": 2, "loss": "1.0"}': "loss is no number: '1.0'",
    b'{"step": 2, "loss": null}': "loss is no number: None",
    b'{"step": 2, "loss": [1.0]}': "loss is no number: [1.0]",
    b'{"step": 2, "loss": 1' + b"0" * 400 + b"}": "loss is no number",
}
RECORDS = {
    b"{}": "it has no metric",
    b'{"metric": "fd"}': "it has no value",
    b'{"metric": 3, "value": 1.0}': "metric is not a name: 3",
    b'{"metric": "fd", "value": "1.0"}': "value is not a number or null: 1.0",
    b'{"metric": "fd", "value": {}}': "value is not a number or null",
    b'{"metric": "fd", "value": 1.0, "step": "4"}': "step is not a whole number: 4",
    b'{"metric": "fd", "value": 1.0, "floor": "low"}': "floor is not a number or null: low",
    b'{"metric": "fd", "value": 1.0, "checkpoint": "final"}': "it has no step",
    b'{"metric": "fd", "value": 1.0, "checkpoint": "final", "step": 4, "weights": "raw"}': "it has no protocol",
    b'{"metric": "fd", "value": 1.0, "protocol": [1]}': "protocol is not an object: [1]",
    b'{"metric": "fd", "value": null, "refused": 7}': "refused is not a text: 7",
}
FIRST = {
    "metrics": b'{"step": 1, "loss": 1.0}',
    "timing": b'{"step": 1, "seconds": 1.0}',
    "evaluations": b'{"metric": "fd", "value": 1.0, "step": 1, "weights": "raw", "checkpoint": "training",'
    b' "protocol": {}}',
}


def spoilt(path, line):
    path.write_bytes(FIRST[path.stem] + b"\n" + line + b"\n" + FIRST[path.stem] + b"\n")


@pytest.mark.parametrize("line", [*NO_JSON, *ROWS], ids=lambda line: repr(line[:40]))
def test_rows(line, tmp_path):
    path = tmp_path / "metrics.jsonl"
    spoilt(path, line)
    before = path.read_bytes()
    for read in (logbook.read_rows, lambda path: logbook.cut([path], 3)):
        with pytest.raises(InputError) as caught:
            read(path)
        message = str(caught.value)
        assert message.startswith(f"{path}, line 2 is damaged (") and {**NO_JSON, **ROWS}[line] in message
        assert "\n" not in message and len(message) < 600
    assert path.read_bytes() == before


@pytest.mark.parametrize("line", [*NO_JSON, *RECORDS], ids=lambda line: repr(line[:60]))
def test_records(line, tmp_path):
    path = tmp_path / "evaluations.jsonl"
    spoilt(path, line)
    with pytest.raises(InputError) as caught:
        logbook.read_records(path)
    assert str(caught.value).startswith(f"{path}, line 2 is damaged (")
    assert {**NO_JSON, **RECORDS}[line] in str(caught.value)


@pytest.fixture
def run(shared, tmp_path):
    shutil.copytree(run_of("vae_digits", shared), tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("verb", "name"),
    [("compare", "evaluations"), ("report", "evaluations"), ("report", "metrics"), ("report", "timing")],
)
def test_verbs_say_it_in_one_line(verb, name, run, capsys):
    spoilt(run / f"{name}.jsonl", b"[1]")
    assert main([verb, str(run)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {run / name}.jsonl, line 2 is damaged")
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("name", ["metrics", "timing"])
def test_a_run_does_not_go_on_and_nothing_is_changed(name, run, shared):
    shutil.rmtree(run / "checkpoints/3")
    (run / "DONE").unlink()
    spoilt(run / f"{name}.jsonl", b"[1]")
    before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    with pytest.raises(InputError, match=rf"{name}\.jsonl, line 2 is damaged"):
        trained(three("vae_digits", shared), run)
    assert {path: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("look", [during_training._judged, lambda path: during_training._cut(path, 1)])
def test_scores_while_training_do_not_go_on(look, tmp_path):
    spoilt(tmp_path / "evaluations.jsonl", b"[1]")
    with pytest.raises(InputError, match=r"evaluations\.jsonl, line 2 is damaged"):
        look(tmp_path / "evaluations.jsonl")
