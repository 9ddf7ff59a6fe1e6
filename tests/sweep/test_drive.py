"""Many runs: each finishes once, whatever is killed; nothing is done twice."""

import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from sweeps import FAKE, kill_one_worker_then_the_parent, parent, starts, table, until

from gen_jax.cli.main import main
from gen_jax.sweep import workers

GRID = ["--config=vae_digits", "--config.optimizer.learning_rate=1e-4,1e-3,1e-2", "--config.train.steps=5"]


def test_a_grid_with_seeds_is_ranked_by_the_mean(tmp_path, fake, capsys):
    assert main(["sweep", str(tmp_path / "s"), *GRID, "--seeds=2", "--parallel=3"]) == 0
    out, err = capsys.readouterr()
    assert starts(tmp_path / "s") == {
        f"{i:04d}-learning_rate={rate},seed={seed}": [0]
        for i, rate in enumerate(("1e-4", "1e-3", "1e-2"))
        for seed in (0, 1)
    }
    best = json.loads((tmp_path / "s/best.json").read_text())
    assert best["overrides"] == {"optimizer.learning_rate": "1e-3"} and best["metric"] == "loss"
    assert best["mean"] == pytest.approx(0.25) and best["spread"] == pytest.approx(0.1 / 2**0.5)
    rows = table(tmp_path / "s")
    assert [row["rank"] for row in rows] == ["1", "1", "2", "2", "3", "3"]
    assert [row["loss"] for row in rows[:2]] == [repr(0.2), repr(0.30000000000000004)]
    assert err.splitlines()[-1].startswith("best: 0001-learning_rate=1e-3 · loss 0.25 +- 0.071 · next: gen-jax train")
    assert "6/6" in err and "2 done" in out

    # The same command again, or the folder alone, does nothing more; all is read from the run directories.
    (tmp_path / "s/best.json").unlink()
    assert main(["sweep", str(tmp_path / "s"), *GRID, "--seeds=2"]) == main(["sweep", str(tmp_path / "s")]) == 0
    assert all(steps == [0] for steps in starts(tmp_path / "s").values())
    assert json.loads((tmp_path / "s/best.json").read_text()) == best


def test_the_best_seed_does_not_win(tmp_path, fake):
    """Seeds 0 and 9 of one cell, 0.0 and 0.9 more, have the mean of no better cell: 1e-3 wins by its mean."""
    flags = ["--config=vae_digits", "--config.train.steps=5"]
    (tmp_path / "space.py").write_text(
        "space = [{'optimizer.learning_rate': 1e-3, 'seed': 9}, {'optimizer.learning_rate': 2e-3, 'seed': 0}]"
    )
    assert main(["sweep", str(tmp_path / "s"), *flags, f"--space={tmp_path / 'space.py'}"]) == 0
    assert [(row["learning_rate"], row["seed"]) for row in table(tmp_path / "s")] == [("0.002", "0"), ("0.001", "9")]


def test_more_cells_and_seeds_only_when_asked(tmp_path, fake, capsys):
    sweep = ["sweep", str(tmp_path / "s")]
    assert main([*sweep, *GRID]) == 0
    wider = [GRID[0], "--config.optimizer.learning_rate=1e-4,1e-3,1e-2,1e-1", GRID[2]]
    before = (tmp_path / "s/sweep.json").read_bytes()
    capsys.readouterr()
    assert main([*sweep, *wider]) == 2
    assert "is another sweep: swept" in capsys.readouterr().err and (tmp_path / "s/sweep.json").read_bytes() == before
    assert main([*sweep, *wider, "--seeds=2", "--extend"]) == 0
    found = starts(tmp_path / "s")
    assert len(found) == 8 and all(steps == [0] for steps in found.values())
    assert "0003-learning_rate=1e-1,seed=1" in found, "old cells keep their numbers"
    assert main([*sweep, *wider, "--seeds=2"]) == 0
    assert main([*sweep, *wider, "--extend"]) == 2, "seeds do not become fewer"


def test_a_killed_run_goes_on_as_itself(tmp_path, fake, capsys):
    fake({"*": {"kill_at": 3}})
    assert main(["sweep", str(tmp_path / "s"), *GRID, "--parallel=2"]) == 0
    assert all(steps == [0, 3] for steps in starts(tmp_path / "s").values())
    assert capsys.readouterr().err.count("killed by SIGKILL at step 3; it goes on") == 3


AGAIN = [
    # status, why, progressed, tries -> again
    (1, "KeyError: 'x'", True, 0, True),
    (1, "KeyError: 'x'", True, 1, True),
    (1, "KeyError: 'x'", True, 2, False),
    (1, "KeyError: 'x'", False, 0, False),
    (1, "XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory", True, 0, False),
    (1, "non-finite loss at step 812 (term: kl)", True, 0, False),
    (2, "data set mnist is not prepared", True, 0, False),
    (-9, "", False, 1, True),
    (-9, "", False, 2, False),
    (143, "", True, 0, True),
]


@pytest.mark.parametrize("case", AGAIN, ids=str)
def test_what_is_tried_again(case):
    *asked, expected = case
    assert workers.again(*asked) is expected


def test_what_fails_is_told_and_the_others_go_on(tmp_path, fake, capsys):
    name = lambda i, rate: f"000{i}-learning_rate={rate},seed=0"
    oom = {"fail_at": 3, "fail_with": "RESOURCE_EXHAUSTED: Out of memory", "always": True}
    fake({name(0, "1e-4"): oom, name(1, "1e-3"): {"fail_at": 4, "fail_with": "KeyError: 'x'"}})
    assert main(["sweep", str(tmp_path / "s"), *GRID]) == 1
    assert list(starts(tmp_path / "s").values()) == [[0], [0, 3], [0]]
    rows = {row["cell"]: row for row in table(tmp_path / "s")}
    assert rows["0"]["state"] == "failed" and "Out of memory" in rows["0"]["why"] and rows["0"]["rank"] == ""
    assert rows["1"]["rank"] == "1"
    assert "error: 1 of 3 runs failed" in capsys.readouterr().err
    assert main(["sweep", str(tmp_path / "s")]) == 1
    assert list(starts(tmp_path / "s").values()) == [[0], [0, 3], [0]], "and it is not tried again by the next command"


def test_refused_by_all_is_refused(tmp_path, fake, capsys):
    fake({"*": {"status": 2}})
    wide = ["--config=vae_digits", "--config.seed=range(0,9)"]
    assert main(["sweep", str(tmp_path / "s"), *wide]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: 3 runs in a row are refused: no such data"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_parent_lets_its_children_save(tmp_path, fake, capsys, signum):
    fake({"*": {"pause": 0.1}})
    sweep = ["sweep", str(tmp_path / "s"), *GRID, "--parallel=2"]

    def soon():
        while len(list((tmp_path / "s").glob("trials/*/checkpoints/1"))) < 2:
            time.sleep(0.02)
        os.kill(os.getpid(), signum)

    threading.Thread(target=soon).start()
    assert main(sweep) == 128 + signum
    assert f"go on with: gen-jax sweep {tmp_path / 's'}" in capsys.readouterr().err
    assert len(starts(tmp_path / "s")) == 2 and not list((tmp_path / "s").glob("trials/*/DONE"))
    assert main(sweep) == 0
    assert [len(steps) for steps in starts(tmp_path / "s").values()] == [2, 2, 1]
    assert all(steps[-1] > 0 for steps in list(starts(tmp_path / "s").values())[:2]), (
        "they went on from their checkpoints"
    )


TWELVE = ["--config=vae_digits", "--config.optimizer.learning_rate=1e-4,3e-4,1e-3,3e-3", "--seeds=2"]
TWELVE += ["--config.model.latent_size=2,4,8", "--config.train.steps=4", "--config.train.checkpoint_every=1"]


@pytest.mark.slow
def test_ctrl_c_of_a_terminal_reaches_children_once(tmp_path, fake):
    """A terminal signals all processes of its group; children that heard it twice would end before they have saved."""
    fake({"*": {"pause": 0.2}})
    driver = parent(tmp_path / "s", *GRID, "--parallel=2", own_group=True)
    until(lambda: len(list(tmp_path.glob("s/trials/*/checkpoints/1"))) == 2, driver)
    os.killpg(driver.pid, signal.SIGINT)
    assert "stopped, saved; go on with" in driver.communicate()[1] and driver.returncode == 130
    assert all("Interrupt" not in log.read_text() for log in (tmp_path / "s/logs").iterdir())
    assert not list(tmp_path.glob("s/trials/*/DONE"))


@pytest.mark.slow
def test_twenty_four_runs_finish_once_though_a_worker_and_the_parent_are_killed(tmp_path, fake):
    fake({"*": {"pause": 0.15}})
    kill_one_worker_then_the_parent(tmp_path / "s", TWELVE)
    assert main(["sweep", str(tmp_path / "s"), *TWELVE, "--parallel=3"]) == 0
    assert len(list(tmp_path.glob("s/trials/*/DONE"))) == len(list(tmp_path.glob("s/trials/*"))) == 24
    found = starts(tmp_path / "s")
    assert sorted(map(len, found.values())) == [1] * 23 + [2], (
        "one was killed; the children of the parent went on alone"
    )
    assert [steps for steps in found.values() if len(steps) == 2][0][1] > 0, "and it was resumed"
    for run in (tmp_path / "s/trials").iterdir():
        steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert steps == [1, 2, 3, 4], "no step was made twice"


@pytest.mark.slow
def test_a_child_that_has_not_begun_outlives_its_parent_and_is_waited_for(tmp_path, fake, monkeypatch):
    """While it imports JAX it holds nothing of its run; the lock on its log is what the next parent finds."""
    monkeypatch.setenv("FAKE_BOOTS", str(tmp_path / "boots"))
    fake({"*": {"boot": 8.0}})
    driver = parent(tmp_path / "s", *GRID, "--parallel=2")
    until(lambda: (tmp_path / "boots").exists() and len((tmp_path / "boots").read_text().split()) == 2, driver)
    driver.kill()
    driver.communicate()
    fake({})
    assert main(["sweep", str(tmp_path / "s"), *GRID, "--parallel=3"]) == 0
    assert len((tmp_path / "boots").read_text().split()) == 3, "one process a run"


def test_a_second_parent_is_refused(tmp_path, fake, capsys):
    (tmp_path / "s").mkdir()
    with open(tmp_path / "s/lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert main(["sweep", str(tmp_path / "s"), *GRID]) == 2
    assert "is driven by another process" in capsys.readouterr().err and not (tmp_path / "s/trials").exists()


def test_a_run_that_somebody_else_trains_is_waited_for(tmp_path, fake, monkeypatch):
    monkeypatch.setenv("FAKE_BOOTS", str(tmp_path / "boots"))
    run = tmp_path / "s/trials/0000-learning_rate=1e-4,seed=0"
    assert main(["sweep", str(tmp_path / "s"), *GRID, "--print_commands"]) == 0
    words = [*FAKE, "train", "--config=vae_digits", "--config.seed=0", "--config.train.steps=3"]
    other = subprocess.Popen([*words, f"--workdir={run}"], env={**os.environ, "FAKE": '{"*": {"pause": 0.3}}'})
    while not (run / "starts").exists():
        time.sleep(0.02)
    assert main(["sweep", str(tmp_path / "s"), *GRID]) == 0
    assert other.wait() == 0 and list(starts(tmp_path / "s").values()) == [[0]] * 3
    assert len((tmp_path / "boots").read_text().split()) == 3, "nothing is started to be refused"


def test_gpus_are_pinned_and_shared_in_turn(monkeypatch):
    assert workers.slots(None, []) == [{}] and workers.slots(3, []) == [{}] * 3
    assert workers.slots(None, ["0", "1"]) == [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]
    assert workers.slots(1, ["0", "1"]) == [{"CUDA_VISIBLE_DEVICES": "0"}]
    shared = workers.slots(3, ["0", "1"])
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in shared] == ["0", "1", "0"]
    assert all(slot["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false" for slot in shared)
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1,GPU-2")
    assert workers.gpus() == ["GPU-1", "GPU-2"]


def test_status_and_dry_run_look_and_leave_all_as_it_is(tmp_path, fake, capsys):
    assert main(["sweep", str(tmp_path / "s"), *GRID, "--dry_run"]) == 0
    assert (
        capsys.readouterr().out.splitlines()[-1].startswith("3 cells x 1 seeds = 3 runs")
        and not (tmp_path / "s").exists()
    )
    assert main(["sweep", str(tmp_path / "s"), *GRID]) == 0
    capsys.readouterr()
    with open(tmp_path / "s/lock") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # while another process drives
        assert main(["sweep", str(tmp_path / "s"), "--status"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["cell", "learning_rate", "loss", "runs"] and out[1].split() == [
        "1",
        "0001",
        "1e-3",
        "0.2",
        "done",
    ]
    assert out[-1] == "3 runs: 3 done"


SMALL = ["--config=vae_digits", "--config.train.steps=4", "--config.train.log_every=1", "--config.train.sample_every=0"]
SMALL += ["--config.model.encoder.widths=(32,)", "--config.model.decoder.widths=(32,)", "--config.mesh.devices=1"]


@pytest.mark.slow
def test_printed_commands_are_the_sweep_and_the_best_config_is_its_best_run(tmp_path, capsys, monkeypatch):
    """Each printed line trains a run; the sweep finds them done; its best config repeats the best run bit by bit."""
    sweep = ["sweep", str(tmp_path / "s"), *SMALL, "--config.optimizer.learning_rate=1e-4,1e-2"]
    assert main([*sweep, "--print_commands"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for line in lines:
        start, *words = shlex.split(line)
        assert start == "gen-jax" and main(words) == 0
    monkeypatch.setattr(workers, "PROGRAM", ("false",))
    assert main(sweep) == 0
    best = Path(json.loads((tmp_path / "s/best.json").read_text())["run"])
    assert best.name == "0001-learning_rate=1e-2,seed=0"
    assert main(["train", f"--config={tmp_path / 's/best_config.py'}", f"--workdir={tmp_path / 'again'}"]) == 0
    for name in ("metrics.jsonl", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (best / name).read_bytes()


@pytest.mark.slow
def test_twenty_four_real_runs_finish_once_though_a_worker_and_the_parent_are_killed(tmp_path):
    small = [word for word in SMALL if "steps" not in word and "config=vae" not in word]
    real = [sys.executable, "-m", "gen_jax"]
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
    grid = [*TWELVE, *small]
    killed = kill_one_worker_then_the_parent(tmp_path / "s", grid, program=real, **environment)
    driver = parent(tmp_path / "s", *grid, "--parallel=3", program=real, **environment)
    assert driver.communicate()[1] and driver.returncode == 0
    runs = sorted((tmp_path / "s/trials").iterdir())
    assert len(runs) == 24
    done = [(run / "log.txt").read_text().count("done 0:") for run in runs]
    assert done == [1] * 24, "each came to its end once"
    resumed = [run.name for run in runs if list(run.glob("env.resumed-*.json"))]
    assert resumed == [killed]
    assert all(len((run / "metrics.jsonl").read_text().splitlines()) == 4 for run in runs)
