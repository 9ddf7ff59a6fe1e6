"""Bad input of a sweep: one `error:` line with a hint, exit status 2, nothing begun."""

import importlib.util
import sys

import pytest

from gen_jax.cli.main import main

RATE = "--config.optimizer.learning_rate"
SEARCH = [f"{RATE}=log(1e-4,1e-2)", "--trials=2", "--metric=loss"]
BAD = {
    "no grammar": (
        [],
        "nothing to sweep: give a field several values, as in --config.optimizer.learning_rate=1e-4,3e-4",
    ),
    "no such field": (
        ["--config.optimizer.learning_rat=1,2"],
        "no such field; did you mean learning_rate?",
    ),
    "no such field, searched": (
        ["--config.optimizer.lr=log(1,2)", *SEARCH[1:]],
        "--config.optimizer.lr: no such field",
    ),
    "a value out of range": ([f"{RATE}=1e-4,-1"], "optimizer.learning_rate=-1.0: must be >= 0"),
    "an end out of range": ([f"{RATE}=uniform(-1,1)", *SEARCH[1:]], "optimizer.learning_rate=-1.0: must be >= 0"),
    "a value of another type": (["--config.train.steps=range(1,2,0.5)"], "expected int"),
    "no such word": ([f"{RATE}=loguniform(1,2)"], "no such word; there are"),
    "no trials": ([*SEARCH[:1], "--trials=0", "--metric=loss"], "--trials=0: must be >= 1"),
    "a search without an end": ([SEARCH[0], "--metric=loss"], "--trials: how many cells"),
    "a search without a metric": (SEARCH[:2], "--metric: what shall the search look at?"),
    "trials of a grid": ([f"{RATE}=1,2", "--trials=3"], "--trials=3: a grid runs all its cells"),
    "seeds twice": (["--config.seed=1,2", "--seeds=2"], "--seeds=2 sweeps the seed already"),
    "a storage for a grid": ([f"{RATE}=1,2", "--storage=sqlite://"], "is for a search"),
    "commands of a search": ([*SEARCH, "--print_commands"], "--print_commands: what a search runs next"),
    "pruning by nothing": ([f"{RATE}=1,2", "--prune=median"], "--prune=median: by which --metric?"),
    "no such space": (["--space=none.py"], "--space=none.py: no such file"),
    "status of nothing": (["--status"], "is no sweep: it has no sweep.json"),
    "no such config": (["--config=vae_digitz", "--seeds=2"], "config file vae_digitz not found; did you mean"),
}


@pytest.mark.parametrize("case", BAD)
def test_is_refused(case, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words, expected = BAD[case]
    config = [] if any(word.startswith("--config=") for word in words) else ["--config=vae_digits"]
    assert main(["sweep", "s", *config, *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and expected in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text, expected",
    [
        ("x = 1", "expected `def space(trial)`"),
        ("space = [1]", "expected `def space(trial)`"),
        ("import json\nspace = json.loads('{')", "line 2: JSONDecodeError"),
        ("space = [{'optimizer.lr': 1}]", "optimizer.lr: no such field"),
    ],
)
def test_a_space_file_is_refused(text, expected, tmp_path, capsys):
    (tmp_path / "space.py").write_text(text)
    assert main(["sweep", str(tmp_path / "s"), "--config=vae_digits", f"--space={tmp_path / 'space.py'}"]) == 2
    assert expected in capsys.readouterr().err and not (tmp_path / "s").exists()


def test_a_metric_that_is_never_logged_is_noticed_when_the_first_run_ends(tmp_path, fake, capsys):
    sweep = ["sweep", str(tmp_path / "s"), "--config=vae_digits", "--config.train.steps=3", f"{RATE}=1e-4,1e-3,1e-2"]
    assert main([*sweep, "--metric=los"]) == 2
    assert "error: --metric=los: no run logs it; 0000-learning_rate=1e-4,seed=0, which is done, has: loss" in (
        capsys.readouterr().err
    )
    assert len(list(tmp_path.glob("s/trials/*/DONE"))) == 1
    assert main([*sweep, "--metric=loss"]) == 0, "of a grid another metric ranks what is there"


def test_a_folder_with_other_things_is_refused(tmp_path, capsys):
    (tmp_path / "diary.txt").write_text("not a sweep")
    assert main(["sweep", str(tmp_path), "--config=vae_digits", "--seeds=2"]) == 2
    assert "is not empty and not a sweep" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]


def test_another_search_in_the_folder_is_refused(tmp_path, fake, capsys, monkeypatch):
    from gen_jax.sweep import plan as plans

    words = [("optimizer.learning_rate", "log(1e-4,1e-2)")]
    plans.write(tmp_path / "s", plans.asked("vae_digits", words, trials=2, metric="loss", direction="min"))
    search = ["sweep", str(tmp_path / "s"), "--config=vae_digits", *SEARCH]
    for change in (f"{RATE}=log(1e-4,1e-1)", "--metric=kl", "--trials=1", "--direction=max", "--seeds=2", "--trials=3"):
        assert main([*search, change]) == 2, change
        assert "sweep" in capsys.readouterr().err
    assert main(["sweep", str(tmp_path / "s"), "--config=vae_digits", f"{RATE}=1e-4,1e-3"]) == 2


def test_a_search_without_optuna_names_the_extra(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["sweep", str(tmp_path / "s"), "--config=vae_digits", *SEARCH]) == 2
    assert capsys.readouterr().err.startswith("error: a search needs Optuna: pip install 'gen_jax[sweep]'")
    assert not (tmp_path / "s").exists()


@pytest.mark.extra
@pytest.mark.skipif(not importlib.util.find_spec("optuna"), reason="Optuna, of the extra sweep, is not there")
@pytest.mark.parametrize("url", ["sqlite:////no/such/folder/x.db", "postgresql://me:secret@127.0.0.1:1/x", "nonsense"])
def test_a_storage_that_cannot_be_reached_is_refused(url, tmp_path, fake, capsys):
    assert main(["sweep", str(tmp_path / "s"), "--config=vae_digits", *SEARCH, f"--storage={url}"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: --storage=") and len(told.splitlines()) == 1 and "secret" not in told
