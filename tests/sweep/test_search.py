"""Searches by Optuna: each trial once, whatever is killed; nothing drawn twice."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from sweeps import kill_one_worker_then_the_parent, parent, starts, table

from gen_jax.cli.main import main
from gen_jax.sweep import plan as plans
from gen_jax.sweep.drive import Driver, Grid

optuna = pytest.importorskip("optuna", reason="Optuna, of the extra sweep, is not there")
from gen_jax.sweep.search import Search, mend  # noqa: E402

pytestmark = pytest.mark.extra
RATE = "--config.optimizer.learning_rate=log(1e-5,1e-1)"
SEARCH = ["--config=vae_digits", RATE, "--config.train.steps=4", "--metric=loss"]


def study(folder):
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / "study.journal")))
    return optuna.load_study(study_name=plans.read(folder).study, storage=storage)


def test_a_search_tries_as_many_as_asked_and_goes_on(tmp_path, fake, capsys):
    sweep = ["sweep", str(tmp_path / "s"), *SEARCH, "--config.model.latent_size=int(2,8)", "--seeds=2"]
    assert main([*sweep, "--trials=3", "--parallel=2"]) == 0
    assert main([*sweep, "--trials=3"]) == 0
    assert main([*sweep, "--trials=5"]) == 2, "more only when asked"
    assert main([*sweep, "--trials=5", "--extend"]) == 0
    found = study(tmp_path / "s").trials
    assert [t.number for t in found] == list(range(5)) and {t.state.name for t in found} == {"COMPLETE"}
    assert len(starts(tmp_path / "s")) == 10 and all(steps == [0] for steps in starts(tmp_path / "s").values())
    rates = [t.params["optimizer.learning_rate"] for t in found]
    assert len(set(rates)) == 5 and all(1e-5 <= rate <= 1e-1 for rate in rates)
    rows = {int(row["cell"]): row for row in table(tmp_path / "s")}
    for trial in found:
        assert float(rows[trial.number]["learning_rate"]) == rates[trial.number], "written exactly"
        assert float(rows[trial.number]["mean"]) == trial.value
    best = json.loads((tmp_path / "s/best.json").read_text())
    assert best["mean"] == min(t.value for t in found)
    capsys.readouterr()
    assert main(["sweep", str(tmp_path / "s"), "--status"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "10 runs: 10 done"


def test_what_is_drawn_is_a_function_of_the_seed_and_the_trial(tmp_path, fake):
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert main(["sweep", str(tmp_path / folder), *SEARCH, f"--config.seed={seed}", "--trials=3"]) == 0
    drawn = [[t.params for t in study(tmp_path / folder).trials] for folder in "abc"]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_torn_journal_is_mended_and_no_lock_is_waited_for(tmp_path, fake):
    sweep = ["sweep", str(tmp_path / "s"), *SEARCH]
    assert main([*sweep, "--trials=2"]) == 0
    journal = tmp_path / "s/study.journal"
    whole = journal.read_bytes()
    with open(journal, "ab") as file:
        file.write(b'{"op_code": 4, "worker_id": "x", "tri')
    (tmp_path / "s/study.journal.lock").symlink_to(journal)
    began = time.monotonic()
    assert main([*sweep, "--trials=3", "--extend"]) == 0
    assert time.monotonic() - began < 15, "Optuna alone waits 30 s for a lock that a kill left"
    assert journal.read_bytes().startswith(whole) and b'"tri{' not in journal.read_bytes()
    assert len(study(tmp_path / "s").trials) == 3


def test_mending_leaves_a_whole_journal(tmp_path):
    (tmp_path / "j").write_bytes(b"a\nb\n")
    mend(tmp_path / "j")
    assert (tmp_path / "j").read_bytes() == b"a\nb\n"
    mend(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_trial_that_a_kill_left_half_asked_for_is_completed(tmp_path):
    """The parent may die after the storage has the trial's number and before it has its numbers."""
    words = [("optimizer.learning_rate", "log(1e-5,1e-1)"), ("model.latent_size", "int(2,8)")]
    plan = plans.asked("vae_digits", words, trials=2, metric="loss", direction="min")
    (tmp_path / "s").mkdir()
    plans.write(tmp_path / "s", plan)
    half = Search(plan, tmp_path / "s")._study.ask()
    rate = half.suggest_float("optimizer.learning_rate", 1e-5, 1e-1, log=True)
    ((number, cell),) = Search(plan, tmp_path / "s").cells()
    assert number == 0 and dict(cell)["optimizer.learning_rate"] == repr(rate) and "model.latent_size" in dict(cell)
    assert Search(plan, tmp_path / "s").cells() == [(0, cell)]
    search = Search(plan, tmp_path / "s")
    assert search.ask()[0] == 1 and search.ask() is None


SPACE = """
def space(trial):
    rate = trial.suggest_float("rate", 1e-5, 1e-1, log=True)
    width = trial.suggest_categorical("width", [16, 32])
    return {"optimizer.learning_rate": rate, "model.encoder.widths": (width, width), "model.decoder.widths": (width,)}
"""


def test_a_space_in_python(tmp_path, fake, capsys):
    (tmp_path / "space.py").write_text(SPACE)
    sweep = ["sweep", str(tmp_path / "s"), "--config=vae_digits", f"--space={tmp_path / 'space.py'}", "--metric=loss"]
    assert main([*sweep, "--trials=2"]) == 0
    assert all(run.partition("-")[2].startswith("learning_rate=") for run in starts(tmp_path / "s"))
    assert {t.params["width"] for t in study(tmp_path / "s").trials} <= {16, 32}
    (tmp_path / "space.py").write_text(SPACE.replace("1e-1", "1e-2"))
    assert main([*sweep, "--trials=2"]) == 2
    assert "its --space file has changed" in capsys.readouterr().err
    (tmp_path / "bad.py").write_text("def space(trial):\n    return 1 / 0\n")
    sweep[1], sweep[3] = str(tmp_path / "b"), f"--space={tmp_path / 'bad.py'}"
    assert main([*sweep, "--trials=2"]) == 2
    assert "bad.py fails: ZeroDivisionError" in capsys.readouterr().err


def test_pruned_runs_are_told_and_can_go_on(tmp_path, fake, capsys, monkeypatch):
    """Worse than the median at some step: stopped, saved, told to the study; `gen-jax train` goes on with it."""
    monkeypatch.setattr("gen_jax.sweep.drive.WATCH", 0.05)
    fake({"*": {"pause": 0.1}})
    cells = ", ".join(f"{{'optimizer.learning_rate': {rate}}}" for rate in (1e-3, 1.1e-3, 1.2e-3, 1.3e-3, 1e-1))
    (tmp_path / "space.py").write_text(f"space = [{cells}]")
    sweep = ["sweep", str(tmp_path / "s"), "--config=vae_digits", "--config.train.steps=8", "--metric=loss"]
    assert main([*sweep, f"--space={tmp_path / 'space.py'}", "--prune=median"]) == 0
    states = [row["state"] for row in table(tmp_path / "s")]
    assert states == ["done"] * 4 + ["pruned"]
    (pruned,) = (tmp_path / "s/trials").glob("*/PRUNED.txt")
    assert "the median of 4 others is" in pruned.read_text() and list(pruned.parent.glob("checkpoints/*"))
    assert main([*sweep, f"--space={tmp_path / 'space.py'}"]) == 0
    assert list(starts(tmp_path / "s").values()) == [[0]] * 5, "it stays pruned"
    more = [*sweep, f"--space={tmp_path / 'space.py'}", "--prune=median"]
    assert main([*more, "--seeds=2", "--extend"]) == 0
    begun = [run for run in starts(tmp_path / "s") if run.startswith("0004")]
    assert len(begun) == 1, "and with it the other seeds of its cell"
    assert [row["state"] for row in table(tmp_path / "s")].count("pruned") == 2


def test_what_another_parent_pruned_is_left_alone(tmp_path, fake):
    """It was pruned after this one had read the cells, while it waited for the run."""
    plan = plans.asked("vae_digits", [("optimizer.learning_rate", "1e-4,1e-3")], metric="loss", prune="median")
    driver = Driver(plan, tmp_path / "s", Grid(plan), [{}], lambda line: None)
    run = driver.waiting[0]
    run.path.mkdir(parents=True)
    (run.path / "PRUNED.txt").write_text("at step 1\n")
    assert driver.run() == 0
    assert driver.over[run] == ("pruned", "at step 1") and len(starts(tmp_path / "s")) == 1


def test_a_study_that_is_not_that_of_the_trials_is_refused(tmp_path, fake, capsys):
    sweep = ["sweep", str(tmp_path / "s"), *SEARCH, "--trials=1"]
    assert main(sweep) == 0
    capsys.readouterr()
    assert main([*sweep, f"--storage=sqlite:///{tmp_path / 'x.db'}"]) == 2
    assert "lies in its folder; leave --storage out" in capsys.readouterr().err
    (tmp_path / "s/study.journal").unlink()
    assert main(sweep) == 2
    assert "study.journal knows nothing of the trials in" in capsys.readouterr().err
    (tmp_path / "s/study.journal").write_text("{}\nnonsense\n")
    assert main(sweep) == 2
    assert "study.journal is damaged" in capsys.readouterr().err


def test_a_search_prunes(tmp_path, fake, monkeypatch):
    monkeypatch.setattr("gen_jax.sweep.drive.WATCH", 0.05)
    fake({"*": {"pause": 0.1}})
    sweep = ["sweep", str(tmp_path / "s"), *SEARCH[:2], "--config.train.steps=9", "--metric=loss", "--prune=halving"]
    assert main([*sweep, "--trials=6", "--parallel=2"]) == 0
    found = study(tmp_path / "s").trials
    states = [t.state.name for t in found]
    assert set(states) == {"COMPLETE", "PRUNED"} and len(states) == 6
    pruned = found[states.index("PRUNED")]
    assert pruned.intermediate_values and max(pruned.intermediate_values) < 9


SIXTEEN = [*SEARCH, "--trials=16", "--config.train.checkpoint_every=1"]


def test_sixteen_trials_finish_once_though_a_worker_and_the_parent_are_killed(tmp_path, fake):
    fake({"*": {"pause": 0.15}})
    kill_one_worker_then_the_parent(tmp_path / "s", SIXTEEN)
    assert main(["sweep", str(tmp_path / "s"), *SIXTEEN, "--parallel=3"]) == 0
    found = study(tmp_path / "s").trials
    assert len(found) == 16 and {t.state.name for t in found} == {"COMPLETE"}
    counted = starts(tmp_path / "s")
    assert sorted(map(len, counted.values())) == [1] * 15 + [2]
    assert [steps for steps in counted.values() if len(steps) == 2][0][1] > 0
    assert len({t.params["optimizer.learning_rate"] for t in found}) == 16


@pytest.fixture
def postgresql(tmp_path):
    """The address of a PostgreSQL server that this test has for itself."""
    pytest.importorskip("psycopg", reason="psycopg is not there")
    if not shutil.which("initdb"):
        pytest.skip("no PostgreSQL server here (initdb)")
    as_user = {"user": "postgres"} if os.getuid() == 0 else {}  # it refuses to run as root
    folder = Path(tempfile.mkdtemp())
    if as_user:
        shutil.chown(folder, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "check": True, "cwd": folder, **as_user}
    subprocess.run(["initdb", "-D", folder / "data", "-U", "me", "-A", "trust"], **quiet)
    control = ["pg_ctl", "-D", folder / "data", "-l", folder / "log", "-o", f"-p {port} -k {folder}", "-w"]
    subprocess.run([*control, "start"], **quiet)
    yield f"postgresql+psycopg://me@127.0.0.1:{port}/postgres"
    subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
    shutil.rmtree(folder)


def two_parents(folder, storage):
    """Both drive one sweep; each trial is run by one of them."""
    words = [*SEARCH, "--trials=8", f"--storage={storage}"]
    both = [parent(folder, *words), parent(folder, *words)]  # begun at the same moment
    for process in both:
        assert process.communicate()[1] and process.returncode == 0
    assert list(starts(folder).values()) == [[0]] * 8
    assert [row["state"] for row in table(folder)] == ["done"] * 8, "who ends last has seen the trials of both"
    found = optuna.load_study(study_name=plans.read(folder).study, storage=storage)
    assert [t.state.name for t in found.trials] == ["COMPLETE"] * 8


def test_two_parents_share_a_storage(tmp_path, fake, capsys):
    """A database on this disk stands for a server here."""
    fake({"*": {"pause": 0.1}})
    two_parents(tmp_path / "s", f"sqlite:///{tmp_path / 'study.db'}")


@pytest.mark.slow
def test_two_parents_share_a_postgresql(tmp_path, fake, postgresql):
    fake({"*": {"pause": 0.1}})
    two_parents(tmp_path / "s", postgresql)


@pytest.mark.slow
def test_sixteen_real_trials_finish_once_though_a_worker_and_the_parent_are_killed(tmp_path):
    """By `gen-jax train` itself, on the journal."""
    small = ["--config.model.encoder.widths=(32,)", "--config.model.decoder.widths=(32,)", "--config.train.log_every=1"]
    sixteen = [*SIXTEEN, *small, "--config.train.sample_every=0"]
    options = {"program": [sys.executable, "-m", "gen_jax"], "XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
    killed = kill_one_worker_then_the_parent(tmp_path / "s", sixteen, **options)
    driver = parent(tmp_path / "s", *sixteen, "--parallel=3", **options)
    assert driver.communicate()[1] and driver.returncode == 0
    runs = sorted((tmp_path / "s/trials").iterdir())
    assert [(run / "log.txt").read_text().count("done 0:") for run in runs] == [1] * 16
    assert [run.name for run in runs if list(run.glob("env.resumed-*.json"))] == [killed]
    assert [t.state.name for t in study(tmp_path / "s").trials] == ["COMPLETE"] * 16
