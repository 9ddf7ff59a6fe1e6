"""Two processes of one device each are one process of two devices."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

import gen_jax
from gen_jax.runtime import checkpoint, watch

FLAGS = ["--config=vae_digits", "--config.train.log_every=1", "--config.data.batch_size=16"]
FLAGS += ["--config.model.encoder.widths=32", "--config.model.decoder.widths=32"]
SHORT = ["--config.train.steps=4", "--config.train.checkpoint_every=2"]
SCORED = ["--config.train.evaluate_every=2", "--config.evaluate.extractor=random"]


def start(workdir, devices, *more):
    environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    command = [sys.executable, "-m", "gen_jax", "train", *FLAGS, f"--workdir={workdir}", *more]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def both(workdir, *more):
    """Process 0 and process 1."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"--coordinator=127.0.0.1:{free.getsockname()[1]}"
    return [start(workdir, 1, address, "--processes=2", f"--process={i}", *more) for i in (0, 1)]


def finish(*processes, status=(0,)):
    errors = []
    for process in processes:
        errors.append(process.communicate(timeout=600)[1])
        assert process.returncode in status, errors[-1]
    return errors


def rows(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    finish(*both(tmp_path / "two", *SHORT, *SCORED))
    finish(start(tmp_path / "one", 2, *SHORT, *SCORED))
    two, one = (rows(tmp_path / name / "metrics.jsonl") for name in ("two", "one"))
    assert [row["step"] for row in two] == [1, 2, 3, 4]
    for a, b in zip(two, one, strict=True):
        assert a == pytest.approx(b, rel=1e-4)
    assert (tmp_path / "two/samples/step_000004.png").exists() and (tmp_path / "two/DONE").exists()
    drawn = [gen_jax.load(tmp_path / name).sample(range(4)).astype(int) for name in ("two", "one")]
    assert np.abs(drawn[0] - drawn[1]).max() <= 2
    # Each process judges for itself, and one writes: the same scores, each once.
    two, one = (rows(tmp_path / name / "evaluations.jsonl") for name in ("two", "one"))
    assert [(r["metric"], r["step"]) for r in two] == [(r["metric"], r["step"]) for r in one]
    scores = [[r["value"] for r in found if r["metric"] == "fd_random"] for found in (two, one)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-2) and len(scores[0]) == 2
    assert gen_jax.load(tmp_path / "two", step="best").step in (2, 4)


@pytest.mark.slow
def test_ctrl_c_in_two_processes_saves_both_at_one_step(tmp_path):
    processes = both(tmp_path / "run", "--config.train.steps=100000", "--config.train.checkpoint_every=0")
    while "compiling" not in (line := processes[0].stderr.readline()):
        assert line
    for process in processes:
        process.send_signal(signal.SIGINT)
    errors = finish(*processes, status=(130, 143))
    assert all("go on with" in error and "Traceback" not in error for error in errors)
    (step,) = checkpoint.committed(tmp_path / "run/checkpoints")
    assert rows(tmp_path / "run/metrics.jsonl")[-1]["step"] == step > 0


LONG = ["--config.train.steps=200", "--config.train.checkpoint_every=20", "--config.train.sample_every=0"]


def until_saved(workdir, step, *processes):
    while max(checkpoint.committed(workdir / "checkpoints"), default=0) < step:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)


def told(process, within):
    """The error line of a process that ends within so many seconds because it lost another."""
    error = process.communicate(timeout=within)[1]
    assert process.returncode == watch.LOST, error
    (line,) = [line for line in error.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.slow
def test_killed_process_is_named_and_the_run_goes_on_with_one(tmp_path):
    processes = both(tmp_path / "run", *LONG)
    until_saved(tmp_path / "run", 40, *processes)
    processes[1].kill()
    line = told(processes[0], within=30)
    assert re.match(rf"error: process 1 \(\S+, pid {processes[1].pid}\) died; start all again", line)
    assert not (tmp_path / "run/FAILED.txt").exists()
    finish(start(tmp_path / "run", 1, *LONG))
    finish(start(tmp_path / "whole", 1, *LONG))
    two, one = (rows(tmp_path / name / "metrics.jsonl") for name in ("run", "whole"))
    assert [row["step"] for row in two] == [*range(1, 201)]
    for a, b in zip(two, one, strict=True):
        assert a == pytest.approx(b, rel=1e-4)


@pytest.mark.slow
def test_stopped_process_is_named_and_ends_when_it_wakes(tmp_path):
    processes = both(tmp_path / "run", *LONG)
    until_saved(tmp_path / "run", 40, *processes)
    processes[0].send_signal(signal.SIGSTOP)
    began = time.monotonic()
    line = told(processes[1], within=30)
    assert time.monotonic() - began > 10
    assert f"process 0 ({socket.gethostname()}, pid {processes[0].pid}) has not answered for 20 s" in line
    processes[0].send_signal(signal.SIGCONT)
    assert told(processes[0], within=30) == line
    assert checkpoint.committed(tmp_path / "run/checkpoints")[-1] >= 40
