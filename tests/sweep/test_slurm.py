"""Runs as jobs of Slurm: submitit's local jobs stand in for it, and an sbatch that writes down what it gets."""

import os
import signal
import stat
import time
from pathlib import Path

import pytest

from gen_jax.cli.main import main
from gen_jax.runtime.checkpoint import committed
from gen_jax.sweep import plan as plans
from gen_jax.sweep import slurm
from gen_jax.sweep.state import held

submitit = pytest.importorskip("submitit", reason="needs the extra slurm")
pytestmark = pytest.mark.extra

GRID = ["--config=vae_digits", "--config.optimizer.learning_rate=1e-4,1e-3,1e-2", "--config.train.steps=40"]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Commands of Slurm that answer, and write down what they were given; returns the folder of that."""
    (tmp_path / "bin").mkdir()
    for name, answer in (("srun", ""), ("sbatch", "echo Submitted batch job 77"), ("sacct", "")):
        file = tmp_path / "bin" / name
        file.write_text(
            f'#!/bin/sh\necho "$@" >> {tmp_path}/{name}.words\ncat "$1" >> {tmp_path}/{name}.file\n{answer}\n'
        )
        file.chmod(file.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return tmp_path


def test_a_grid_is_one_array_of_jobs(cluster, tmp_path, capsys):
    words = ["sweep", str(tmp_path / "s"), *GRID, "--launcher=slurm", "--slurm=partition=gpu,time=600,gpus_per_node=1"]
    assert main([*words, "--parallel=2"]) == 0
    out = capsys.readouterr()
    assert out.out.split() == ["77_0", "77_1", "77_2"] and "3 jobs submitted" in out.err
    lines = (cluster / "sbatch.file").read_text().splitlines()
    for option in ("array=0-2%2", "partition=gpu", "time=600", "gpus-per-node=1", "requeue", "signal=USR2@90"):
        assert f"#SBATCH --{option}" in lines
    (tmp_path / "s/trials/0000-learning_rate=1e-4,seed=0").mkdir(parents=True)
    (tmp_path / "s/trials/0000-learning_rate=1e-4,seed=0/DONE").touch()
    assert main(words) == 0 and "2 jobs submitted" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more, told",
    [
        (["--launcher=slurm"], "--launcher=slurm: no Slurm here"),
        (["--slurm=partition=gpu"], "--slurm=partition=gpu: is for --launcher=slurm"),
        (["--launcher=slurm", "--slurm=partition"], "partition has no value; expected NAME=VALUE,..."),
        (["--launcher=slurm", "--slurm=colour=red"], "--slurm=colour=red: Unavailable parameter(s): ['colour']"),
    ],
)
def test_what_cannot_be_submitted_is_refused(more, told, tmp_path, capsys, request):
    if "no Slurm" not in told:
        request.getfixturevalue("cluster")
    assert main(["sweep", str(tmp_path / "s"), *GRID, *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and told in line and not (tmp_path / "s/sweep.json").exists()


def submitted(folder):
    """One run of a grid as a job of submitit on this machine; it saves when it is told to, and at its end."""
    small = [("model.encoder.widths", "32"), ("model.decoder.widths", "32"), ("train.sample_every", "0")]
    cells = [*small, ("train.steps", "600"), ("train.checkpoint_every", "0"), ("optimizer.learning_rate", "1e-4,1e-3")]
    plan = plans.asked("vae_digits", cells)
    (run,) = plans.runs_of(plan, folder, 0, plan.cells[0])
    executor = submitit.LocalExecutor(folder / "slurm")
    executor.update_parameters(timeout_min=60)
    (job,) = slurm.submit([run], executor)
    return run, job


def until(condition):
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("waited for 300 s")


@pytest.mark.slow
def test_a_job_that_must_leave_saves_and_comes_back(tmp_path):
    """SIGTERM, which submitit ignores, and then SIGUSR2: what Slurm sends to a job whose machine another one needs."""
    run, job = submitted(tmp_path)
    until(lambda: (run.path / "metrics.jsonl").exists() and (run.path / "metrics.jsonl").read_bytes())
    (task,) = Path(f"/proc/{job._process.pid}/task/{job._process.pid}/children").read_text().split()
    os.kill(int(task), signal.SIGTERM)
    until(lambda: committed(run.path / "checkpoints") and not held(run.path / "lock"))
    (step,) = committed(run.path / "checkpoints")
    assert 0 < step < 600 and not (run.path / "DONE").exists()
    os.kill(int(task), signal.SIGUSR2)  # submitit starts a local job again by itself
    assert job.result() == f"{run.name} is done"
    assert f"saved at step {step}" in run.log.read_text() and f"resumed at step {step}" in run.log.read_text()
    assert slurm.submit([run], None) == []
