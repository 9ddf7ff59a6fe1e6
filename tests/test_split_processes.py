"""Two processes of four devices each, over which the State is split, are one process of eight devices, or of one."""

import json
import os
import re
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
from shrunk import shrunk

import gen_jax
from gen_jax.train import train

ABOVE = 500


def choice(steps, **more):
    """Half of the updates in one place and half in another need a rate that does not know how many there are."""
    return {"train__steps": steps, "optimizer__learning_rate": 1e-3, "optimizer__average": 100, **more}


def two_processes(name, workdir, folder, **choice):
    """Trains in two processes on four simulated devices each."""
    shrunk(name, folder)  # writes the images
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    code = (
        "import sys; from pathlib import Path; from gen_jax.runtime.distributed import join;"
        f"join({address!r}, 2, int(sys.argv[1]));"
        "from shrunk import shrunk, trained;"
        f"trained(shrunk({name!r}, Path({str(folder)!r}), **{choice!r}), Path({str(workdir)!r}))"
    )
    count = "--xla_force_host_platform_device_count="
    flags = re.sub(rf"{count}\d+", f"{count}4", os.environ["XLA_FLAGS"])
    environment = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": os.path.dirname(__file__)}
    options = {"env": environment, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen([sys.executable, "-c", code, str(i)], **options) for i in (0, 1)]
    for process in started:
        error = process.communicate(timeout=900)[1]
        assert process.returncode == 0, error
        assert "rematerialization" not in error


# What rounding becomes in six updates: a player hears it of the other.
@pytest.mark.slow
@pytest.mark.parametrize("name, near", [("vae_digits", {"rel": 1e-5}), ("gan_digits", {"rel": 1e-3, "abs": 1e-3})])
def test_two_processes_of_four_devices(name, near, tmp_path):
    split = {"mesh__devices": -1, "mesh__shard_above": ABOVE}
    two_processes(name, tmp_path / "two", tmp_path, **choice(3, train__checkpoint_every=3, **split))
    train(shrunk(name, tmp_path, **choice(6, **split)), tmp_path / "eight")
    train(shrunk(name, tmp_path, **choice(6)), tmp_path / "one")
    # Each process wrote its part: each array that is split lies in both. Who writes the others, Orbax decides.
    wrote = [sum(f.stat().st_size for f in (tmp_path / "two/checkpoints/3/state" / f"ocdbt.process_{i}").rglob("*"))
             for i in (0, 1)]  # fmt: skip
    state = gen_jax.load(tmp_path / "two").state
    parts = [x for x in jax.tree.leaves(state) if x.size > ABOVE]
    assert min(wrote) > 0.4 * sum(x.nbytes for x in parts)
    # Gone on with in one process of one device.
    train(shrunk(name, tmp_path, **choice(6)), tmp_path / "two")
    lines = lambda run: (tmp_path / run / "metrics.jsonl").read_text().splitlines()
    found = {run: [json.loads(line) for line in lines(run)] for run in ("two", "eight", "one")}
    assert [row["step"] for row in found["two"]] == list(range(1, 7))
    for run in ("eight", "one"):
        for a, b in zip(found["two"], found[run], strict=True):
            assert a == pytest.approx(b, **near), run
    drawn = [gen_jax.load(tmp_path / run).sample(range(8)).astype(int) for run in ("two", "one")]
    assert np.abs(drawn[0] - drawn[1]).max() <= 2
