"""The loop: a run that is killed, stopped or extended is the run that never was."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import jax
import numpy as np
import pytest
from shrunk import shrunk
from shrunk import trained as train

import gen_jax
from gen_jax.cli.main import main
from gen_jax.errors import InputError
from gen_jax.evaluation import during_training
from gen_jax.methods import vae
from gen_jax.observers import Observer
from gen_jax.runtime import checkpoint, compilation
from gen_jax.train import NonFinite

SMALL = {
    "vae_digits": ["--config.model.encoder.widths=32", "--config.model.decoder.widths=32"],
    "gan_digits": ["--config.model.generator.width=4", "--config.model.discriminator.width=4"],
}
LENGTH = ["--config.train.steps=60", "--config.train.log_every=1", "--config.train.checkpoint_every=7"]
LENGTH += ["--config.data.batch_size=16", "--config.train.sample_every=0", "--config.mesh.devices=1"]


def command(name, workdir, *more):
    # The KL warm-up and the cosine of the shipped config stay: a resumed schedule must go on where it was.
    flags = [f"--config={name}", f"--workdir={workdir}", *SMALL[name], *LENGTH, *more]
    return [sys.executable, "-m", "gen_jax", "train", *flags]


def final(workdir):
    return gen_jax.load(workdir).state


def assert_same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


@pytest.mark.parametrize("name", ["vae_digits", pytest.param("gan_digits", marks=pytest.mark.slow)])
def test_killed_run_ends_bitwise_like_one_never_killed(name, tmp_path, capsys):
    """A real kill -9 at a random step; that every config goes on bitwise is in tests/tables."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    # With this process's XLA_FLAGS: how many devices are simulated decides how convolutions are split over threads.
    process = subprocess.Popen(command(name, killed), stderr=subprocess.DEVNULL)
    step = random.SystemRandom().choice(range(8, 50))
    until = time.monotonic() + 300
    while not any(done >= step - 7 for done in checkpoint.committed(killed / "checkpoints")):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "DONE").exists()
    for workdir in (killed, whole):
        capsys.readouterr()
        assert main(command(name, workdir)[3:]) == 0
        assert ("resumed at step" in capsys.readouterr().err) == (workdir == killed)
    assert (killed / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    assert_same(final(whole), final(killed))
    assert main(command(name, killed)[3:]) == 0 and "already done" in capsys.readouterr().err


@pytest.mark.parametrize("signum, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_signal_saves_and_says_how_to_go_on(signum, status, tmp_path, capsys, monkeypatch):
    workdir = tmp_path / "run"

    def grids(every):
        """In the place of grids: asks the process to stop at step 5."""
        see = lambda state, step: os.kill(os.getpid(), signum) if step == 5 else None
        return lambda program, workdir: Observer(1, see)

    monkeypatch.setattr(during_training, "grids", grids)
    before = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and rightly not answered
    try:
        assert main(command("vae_digits", workdir, "--config.train.checkpoint_every=0")[3:]) == status
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
    error = capsys.readouterr().err
    assert "go on with: gen-jax train --config=vae_digits" in error and f"--workdir={workdir}" in error
    assert "Traceback" not in error
    rows = (workdir / "metrics.jsonl").read_text().splitlines()
    assert final(workdir).step == json.loads(rows[-1])["step"] == 6


@pytest.mark.slow
def test_run_whose_terminal_goes_away_saves(tmp_path):
    """A real terminal that is closed: what is written to it fails from then on, and SIGHUP comes."""
    terminal, end = os.openpty()
    words = command("vae_digits", tmp_path / "run", "--config.train.steps=100000")
    process = subprocess.Popen(["setsid", "--ctty", *words], stdin=end, stdout=end, stderr=end)
    os.close(end)
    os.set_blocking(terminal, False)
    while not checkpoint.committed(tmp_path / "run/checkpoints"):
        assert process.poll() is None
        with suppress(BlockingIOError):
            os.read(terminal, 2**16)
        time.sleep(0.01)
    os.close(terminal)
    assert process.wait(60) == 129
    rows = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert final(tmp_path / "run").step == json.loads(rows[-1])["step"]
    assert not (tmp_path / "run/FAILED.txt").exists()


def test_the_module_is_called_like_its_function(tmp_path):
    config = shrunk("vae_digits", tmp_path, train__steps=1)
    assert_same(gen_jax.train(config, tmp_path / "a").state, gen_jax.train.train(config, tmp_path / "b").state)


def test_rows_are_those_of_their_step(tmp_path):
    """Logged every step or every third: the same numbers stand under the same step."""
    often = shrunk("vae_digits", tmp_path, train__log_every=1)
    rarely = shrunk("vae_digits", tmp_path, train__log_every=3)
    train(often, tmp_path / "often")
    train(rarely, tmp_path / "rarely")
    rows = [json.loads(line) for line in (tmp_path / "often/metrics.jsonl").read_text().splitlines()]
    few = [json.loads(line) for line in (tmp_path / "rarely/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert few == [rows[2], rows[5]]


@pytest.mark.slow
def test_set_that_is_read_as_needed_trains_like_a_resident_one(tmp_path):
    resident = train(shrunk("vae_digits", tmp_path), tmp_path / "resident").state
    read = train(shrunk("vae_digits", tmp_path, data__resident_megabytes=0), tmp_path / "read").state
    assert_same(resident, read)


def test_grid_that_a_kill_took_is_drawn_again(tmp_path):
    """Killed between drawing and saving: the same command draws the same grid."""
    train(shrunk("vae_digits", tmp_path, train__checkpoint_every=3, train__sample_every=3), tmp_path / "run")
    grids = {p.name: p.read_bytes() for p in (tmp_path / "run/samples").iterdir()}
    assert set(grids) == {"step_000003.png", "step_000006.png"}
    shutil.rmtree(tmp_path / "run/checkpoints/6")
    (tmp_path / "run/DONE").unlink()
    (tmp_path / "run/samples/step_000006.png").unlink()
    train(shrunk("vae_digits", tmp_path, train__checkpoint_every=3, train__sample_every=3), tmp_path / "run")
    assert grids == {p.name: p.read_bytes() for p in (tmp_path / "run/samples").iterdir()}


@pytest.mark.slow
def test_killed_before_its_first_checkpoint_starts_over(tmp_path):
    train(shrunk("vae_digits", tmp_path), tmp_path / "whole")
    train(shrunk("vae_digits", tmp_path), tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed/checkpoints")
    for name in ("DONE", "data.json", "env.json"):
        (tmp_path / "killed" / name).unlink()
    train(shrunk("vae_digits", tmp_path), tmp_path / "killed")
    rows = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "killed")]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("name", ["vae_digits", pytest.param("gan_digits", marks=pytest.mark.slow)])
def test_several_steps_a_call_equal_single_steps(name, tmp_path):
    one = train(shrunk(name, tmp_path), tmp_path / "one").state
    three = train(shrunk(name, tmp_path, train__steps_per_call=3, train__log_every=3), tmp_path / "three").state
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(three), strict=True):
        # Not bitwise: another program rounds elsewhere, and Adam divides what rounding left.
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=2e-3, atol=2e-5)


def test_scanned_steps_equal_unrolled_ones(tmp_path, monkeypatch):
    """Accelerators scan; the scan is run here on CPU, where the loop would unroll."""
    settings = {"train__steps_per_call": 3, "train__log_every": 3, "optimizer__name": "sgd"}
    unrolled = train(shrunk("vae_digits", tmp_path, **settings), tmp_path / "unrolled").state
    monkeypatch.setattr(compilation, "scanned", lambda: True)
    scanned = train(shrunk("vae_digits", tmp_path, **settings), tmp_path / "scanned").state
    for x, y in zip(jax.tree.leaves(unrolled), jax.tree.leaves(scanned), strict=True):
        np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=1e-5, atol=1e-6)


def test_non_finite_loss_names_term_and_last_good_checkpoint(tmp_path):
    config = shrunk("vae_digits", tmp_path, train__steps=20, train__checkpoint_every=2)
    bad = {"kind": "linear", "start": 1e-3, "end": 1e36, "over": 6, "unit": "steps"}
    config = shrunk("vae_digits", tmp_path, train__steps=20, train__checkpoint_every=2,
                    optimizer__learning_rate=bad)  # fmt: skip
    with pytest.raises(NonFinite, match=r"non-finite loss at step \d+ \(term: .+\); last good checkpoint \d+"):
        train(config, tmp_path / "run")
    assert (tmp_path / "run/FAILED.txt").exists() and not (tmp_path / "run/DONE").exists()
    state = final(tmp_path / "run")
    assert all(np.isfinite(np.asarray(x)).all() for x in jax.tree.leaves(state))


def test_what_is_not_finite_is_named_before_anything_is_fitted_to_it(tmp_path, monkeypatch):
    """The last stretch is not read yet when the time to fit comes."""
    make = vae.make
    fit = lambda state, dataset, key: pytest.fail("fitted to what is no number")  # noqa: E731
    monkeypatch.setattr(vae, "make", lambda *about: make(*about)._replace(fit=fit))
    bad = {"kind": "linear", "start": 1e-3, "end": 1e36, "over": 4, "unit": "steps"}
    config = shrunk("vae_digits", tmp_path, train__log_every=100, optimizer__learning_rate=bad)
    with pytest.raises(NonFinite, match=r"non-finite loss at step \d+ \(term: .+\)"):
        train(config, tmp_path / "run")


@pytest.mark.slow
def test_extension_is_allowed_where_no_schedule_spans_the_run(tmp_path):
    fixed = {"optimizer__learning_rate": "{'kind': 'constant', 'start': 1e-3}"}
    short, long = (shrunk("vae_digits", tmp_path, train__steps=n, **fixed) for n in (3, 6))
    train(short, tmp_path / "run")
    state = train(long, tmp_path / "run").state
    assert_same(state, train(long, tmp_path / "straight").state)
    with pytest.raises(InputError, match="optimizer.learning_rate spans the whole run"):
        train(shrunk("vae_digits", tmp_path, train__steps=3), tmp_path / "other")
        train(shrunk("vae_digits", tmp_path, train__steps=6), tmp_path / "other")


def test_other_config_is_refused_and_nothing_is_lost(tmp_path):
    train(shrunk("vae_digits", tmp_path), tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*") if p.is_file()}
    with pytest.raises(InputError, match=r"seed \(0 there, 7 here\)"):
        train(shrunk("vae_digits", tmp_path, seed=7), tmp_path / "run")
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*") if p.is_file()}


def test_one_run_is_trained_by_one_process(tmp_path):
    from gen_jax.runtime.logbook import locked

    (tmp_path / "run").mkdir()
    with locked(tmp_path / "run"), pytest.raises(InputError, match="by another process"):
        train(shrunk("vae_digits", tmp_path), tmp_path / "run")


def test_run_directory_holds_what_it_promises(tmp_path):
    train(shrunk("gan_digits", tmp_path), tmp_path / "run", name="gan_digits", overrides={"a": "b"})
    there = {p.name for p in (tmp_path / "run").iterdir()}
    files = "config.json overrides.json env.json data.json log.txt metrics.jsonl timing.jsonl reals.png DONE"
    assert {*files.split(), "checkpoints", "samples", "tb"} <= there
    env = json.loads((tmp_path / "run/env.json").read_text())
    assert env["packages"]["jax"] == jax.__version__ and env["devices"]
    assert not any("second" in row for row in (tmp_path / "run/metrics.jsonl").read_text().splitlines())
    assert "\n10 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9\n" in (tmp_path / "run/log.txt").read_text()
