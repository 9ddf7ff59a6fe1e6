"""What a command costs before it works, and what it says first."""

import io
import logging
import subprocess
import sys
import types
from pathlib import Path

import pytest
from shrunk import run_of

import gen_jax
from gen_jax.cli.main import main
from gen_jax.errors import InputError
from gen_jax.runtime import mesh, progress
from gen_jax.runtime.progress import Progress


def test_help_and_wrong_flags_import_no_jax():
    """JAX alone takes two seconds on two slow cores; without it each of these takes a tenth of one."""
    asked = ["--help", "--version", "trian", "train --help", "train --wrkdir=x", "sample run --sed=3", "config --jsn"]
    asked += ["sample no_run", "report no_run", "sample no_run --out=no_run/x"]
    code = f"""
import contextlib, sys
from gen_jax.cli.main import main
for words in {asked}:
    with contextlib.suppress(SystemExit):
        main(words.split())
print("imported", sorted({{"jax", "numpy", "gen_jax.config"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "imported []"
    assert len(done.stderr.splitlines()) == 7 and "did you mean --workdir" in done.stderr


def test_opening_a_run_in_python_says_nothing(shared, capfd, caplog):
    run = run_of("vae_digits", shared)
    for name in ("absl", "orbax", "jax"):  # as Python starts: the command has silenced some of them for other tests
        caplog.set_level(logging.NOTSET, name)
    caplog.set_level(logging.WARNING)
    capfd.readouterr()
    gen_jax.load(run).sample(range(2))
    told = capfd.readouterr()
    assert (told.out, told.err, caplog.messages) == ("", "", [])


def test_the_first_line_of_progress_has_metrics(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    bar = Progress(total=1000, start=0, batch_size=8, show=False)
    now[0] = 30.0
    assert bar.update(30) is None, "no metrics yet: nothing to say"
    bar.metrics({"step": 50, "loss": 0.25})
    assert bar.update(31).endswith("| loss 0.25")
    now[0] = 35.0
    assert bar.update(35) is None
    silent = Progress(total=1000, start=0, batch_size=8, show=False)
    now[0] += 61.0
    assert silent.update(5), "where metrics are a long time coming, that it runs"


@pytest.mark.parametrize(
    "platform, error, expected",
    [
        ("cuda", AssertionError(), "JAX_PLATFORMS=cuda: no such device here; pip install 'gen_jax[cuda]' brings it"),
        ("tpu,cpu", RuntimeError("no libtpu\nx"), "here (no libtpu); pip install 'gen_jax[tpu]' brings it; or set JAX"),
        ("nope", RuntimeError("not known"), "JAX_PLATFORMS=nope: no such device here (not known); set JAX_PLATFORMS="),
    ],
)
def test_devices_that_are_not_there_name_the_extra(platform, error, expected, monkeypatch):
    def devices():
        raise error

    asked = types.SimpleNamespace(jax_platforms=platform)
    monkeypatch.setattr(mesh, "jax", types.SimpleNamespace(devices=devices, config=asked))
    with pytest.raises(InputError) as refused:
        mesh.make()
    assert expected in str(refused.value)


def test_a_terminal_without_signs_ends_nothing(shared, monkeypatch):
    """PYTHONIOENCODING=ascii: what cannot be shown is spelt."""
    picture = Path(run_of("vae_digits", shared)) / "reals.png"
    shown = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", shown)
    assert main(["inspect", str(picture)]) == 0
    shown.flush()
    assert rb"reals.png \xb7 credentials" in shown.buffer.getvalue()
