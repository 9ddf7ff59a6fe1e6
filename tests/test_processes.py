"""Two processes of one device each are one process of two devices."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

FLAGS = ["--config=vae_digits", "--config.train.steps=4", "--config.train.log_every=1", "--config.data.batch_size=16"]
FLAGS += ["--config.model.encoder.widths=32", "--config.model.decoder.widths=32", "--config.train.checkpoint_every=2"]


def start(workdir, devices, *more):
    environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    command = [sys.executable, "-m", "gen_jax", "train", *FLAGS, f"--workdir={workdir}", *more]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finish(*processes):
    for process in processes:
        error = process.communicate(timeout=300)[1]
        assert process.returncode == 0, error


def test_two_processes_equal_one(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"--coordinator=127.0.0.1:{free.getsockname()[1]}"
    finish(*(start(tmp_path / "two", 1, address, "--processes=2", f"--process={i}") for i in (0, 1)))
    finish(start(tmp_path / "one", 2))
    two, one = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("two", "one")
    )
    assert [row["step"] for row in two] == [1, 2, 3, 4]
    for a, b in zip(two, one, strict=True):
        assert a == pytest.approx(b, rel=1e-4)
    assert (tmp_path / "two/samples/step_000004.png").exists() and (tmp_path / "two/DONE").exists()
    import gen_jax

    drawn = [gen_jax.load(tmp_path / name).sample(range(4)).astype(int) for name in ("two", "one")]
    assert np.abs(drawn[0] - drawn[1]).max() <= 2
