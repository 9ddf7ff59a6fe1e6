"""Lanes: each is the run that it would be alone, and is left as one."""

import json
import os
import signal

import pytest
from shrunk import shrunk
from sweeps import table

import gen_jax
from gen_jax import lanes
from gen_jax.cli.main import main
from gen_jax.errors import Interrupted
from gen_jax.evaluation.during_training import observers
from gen_jax.lanes import Lane
from gen_jax.observers import Observer
from gen_jax.train import train

RATE = "--config.optimizer.learning_rate"
SMALL = ["--config=vae_digits", "--config.model.encoder.widths=8", "--config.model.decoder.widths=8"]
SMALL += ["--config.train.steps=4", "--config.train.checkpoint_every=2", "--config.train.sample_every=0"]
SMALL += ["--config.train.log_every=1", "--config.mesh.devices=2"]
LONGER = "--config.train.steps=6"


def rows(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def close(lane, solo, steps):
    """Whether the rows of two runs are equal to 1e-5."""
    lane, solo = rows(lane), rows(solo)
    assert [row["step"] for row in lane] == [row["step"] for row in solo] == list(range(1, steps + 1))
    for mine, other in zip(lane, solo, strict=True):
        assert mine == pytest.approx(other, rel=1e-5, abs=1e-5)


@pytest.mark.slow
def test_each_lane_is_its_solo_run_and_goes_on_as_one(tmp_path, capsys):
    """Four lanes on two devices: two of each by vmap, and these side by side."""
    sweep = ["sweep", str(tmp_path / "s"), *SMALL, f"{RATE}=1e-3,1e-2", "--seeds=2", "--lanes=4"]
    assert main(sweep) == 0
    told = capsys.readouterr().err
    assert "4 lanes on 2 x cpu" in told and "best: 0001-learning_rate=1e-2 · loss" in told
    assert [row["state"] for row in table(tmp_path / "s")] == ["done"] * 4
    assert main([*sweep, "--dry_run"]) == 0 and capsys.readouterr().out.count("done") == 4
    lane = tmp_path / "s/trials/0000-learning_rate=1e-3,seed=1"
    words = ["train", *SMALL, f"{RATE}=1e-3", "--config.seed=1"]
    assert main([*words, LONGER, f"--workdir={tmp_path / 'solo'}"]) == 0
    assert {path.name for path in (tmp_path / "solo").iterdir()} == {path.name for path in lane.iterdir()}
    assert len(rows(lane)) == 4
    assert main([*words, LONGER, f"--workdir={lane}"]) == 0, "a lane's directory is one that a single run goes on in"
    close(lane, tmp_path / "solo", 6)
    assert gen_jax.load(lane).sample(range(2)).shape == (2, 16, 16, 1)
    lane = tmp_path / "s/trials/0001-learning_rate=1e-2,seed=0"
    assert main(["train", *SMALL, f"{RATE}=1e-2", f"--workdir={tmp_path / 'other'}"]) == 0
    close(lane, tmp_path / "other", 4)
    before = (lane / "metrics.jsonl").stat().st_mtime_ns
    assert main(sweep) == 0, "the same command again does nothing more"
    assert (lane / "metrics.jsonl").stat().st_mtime_ns == before


def some(name, folder, homes, rates, **overrides):
    """Lanes of a shrunk config, of one seed and of several learning rates."""
    config = lambda rate: shrunk(name, folder, optimizer__learning_rate=rate, **overrides)
    return [Lane(config(rate), folder / home) for home, rate in zip(homes, rates, strict=True)]


def solo(lane, folder):
    """The run of a lane by itself."""
    train(lane.config, folder / f"solo-{lane.workdir.name}")
    return folder / f"solo-{lane.workdir.name}"


def stopper():
    """What asks the process to stop, once, after the first step; the second is under way then."""
    asked = []

    def see(state, step):
        if not asked:
            asked.append(os.kill(os.getpid(), signal.SIGTERM))

    return lambda config: [lambda program, workdir: Observer(1, see)]


def test_sigterm_saves_every_lane_and_all_go_on_to_the_same_bits(tmp_path):
    """And these are, but for rounding, those of the run alone."""
    stopped = some("vae_digits", tmp_path, "ab", (1e-3, 1e-2))
    with pytest.raises(Interrupted):
        lanes.train(stopped, observers=stopper())
    assert all([p.name for p in (lane.workdir / "checkpoints").iterdir()] == ["2"] for lane in stopped)
    lanes.train(stopped, observers=observers)
    whole = some("vae_digits", tmp_path, "cd", (1e-3, 1e-2))
    lanes.train(whole, observers=observers)
    for lane, other in zip(stopped, whole, strict=True):
        assert (lane.workdir / "metrics.jsonl").read_bytes() == (other.workdir / "metrics.jsonl").read_bytes()
        assert (lane.workdir / "samples/step_000006.png").exists() and (lane.workdir / "DONE").exists()
    close(stopped[1].workdir, solo(stopped[1], tmp_path), 6)


@pytest.mark.slow
def test_lanes_at_different_steps_are_not_trained_together(tmp_path):
    ahead, *others = some("vae_digits", tmp_path, "abc", (1e-3, 1e-2, 1e-1))
    with pytest.raises(Interrupted):
        train(ahead.config, ahead.workdir, observers=stopper()(ahead.config))
    with pytest.raises(lanes.Apart, match=r"a at step 2, .*b at step 0"):
        lanes.train([ahead, *others])
    assert len(rows(ahead.workdir)) == 2 and not (others[0].workdir / "metrics.jsonl").exists()


@pytest.mark.slow
def test_a_lane_that_diverges_fails_alone(tmp_path, capsys):
    """Found at its first row, of which no other lane loses anything; one lane goes on alone, from the start."""
    words = [*SMALL, f"{RATE}=1e-3,1e30", "--lanes=2"]
    assert main(["sweep", str(tmp_path / "s"), *words, "--config.optimizer.name=sgd"]) == 1
    told = capsys.readouterr().err
    assert "0001-learning_rate=1e30,seed=0 failed: non-finite loss at step 2 (term: " in told
    assert "error: 1 of 2 runs failed" in told
    good, bad = table(tmp_path / "s")
    assert (good["state"], bad["state"]) == ("done", "failed") and "last good checkpoint none" in bad["why"]
    assert len(rows(tmp_path / "s/trials/0000-learning_rate=1e-3,seed=0")) == 4


@pytest.mark.slow
def test_a_laggard_is_trained_alone_and_the_others_together(tmp_path, capsys):
    small = [*SMALL, f"{RATE}=1e-3"]
    sweep = ["sweep", str(tmp_path / "s"), *small, "--config.seed=5,6,7"]
    assert main([*sweep, "--print_commands"]) == 0
    first = tmp_path / "s/trials/0001-seed=6"
    assert main(["train", *small, "--config.train.steps=2", "--config.seed=6", f"--workdir={first}"]) == 0
    (first / "DONE").unlink()
    capsys.readouterr()
    assert main([*sweep, "--lanes=3"]) == 0
    told = capsys.readouterr().err
    assert told.index("resumed at step 2") < told.index("2 lanes on 2 x cpu")
    assert all(len(rows(run)) == 4 for run in (tmp_path / "s/trials").iterdir())


BAD = {
    "a width": (["--config.model.encoder.widths=(8,),(16,)"], "which model.encoder.widths ((8,) and (16,)) would"),
    "a batch": (["--config.data.batch_size=32,64"], "which data.batch_size (32 and 64) would change"),
    "the order of the data": (["--config.data.seed=0,1"], "which data.seed (0 and 1) would change"),
    "what switches something on": (
        ["--config.optimizer.clip=0,1"],
        "which optimizer.clip (0.0 and 1.0) would change; they may differ in seed, average, b1",
    ),
    "a search": ([f"{RATE}=log(1e-4,1e-2)", "--trials=2", "--metric=loss"], "--lanes=2: a search asks for its runs"),
    "processes": (["--seeds=2", "--parallel=2"], "--parallel=2: does not go with --lanes=2"),
    "pruning": (["--seeds=2", "--prune=median", "--metric=loss"], "--prune=median: does not go with --lanes=2"),
    "one device": (
        ["--config=gan_digits", "--config.mesh.devices=1", "--seeds=2"],
        "--lanes=2: each lane of a convolutional network takes a device, and there is 1",
    ),
    "nothing to train": (["--config=random_digits", "--seeds=2"], "--lanes=2: method=random makes no updates"),
    "a fit": (["--config=autoencoder_digits", "--seeds=2"], "is fitted on the host after its updates"),
}


@pytest.mark.parametrize("case", BAD)
def test_is_refused(case, tmp_path, capsys):
    words, expected = BAD[case]
    config = [] if any(word.startswith("--config=") for word in words) else ["--config=vae_digits"]
    assert main(["sweep", str(tmp_path / "s"), *config, *words, "--lanes=2"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and expected in line
    assert not (tmp_path / "s").exists()


def test_there_may_be_more_runs_than_devices(tmp_path):
    four = [lane.config for lane in some("gan_digits", tmp_path, "abcd", (1e-4, 2e-4, 3e-4, 4e-4), mesh__devices=2)]
    lanes.check(four, 2)
    with pytest.raises(gen_jax.errors.InputError, match="takes a device, and there are 2"):
        lanes.check(four, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name, options", [("vae_digits", {"mesh__devices": 1}), ("gan_digits", {"mesh__devices": -1})])
def test_after_200_steps_each_lane_is_its_solo_run(name, options, tmp_path):
    """The VAE by vmap; the GAN, of convolutions and with R1 and R2, on a device a lane."""
    found = some(name, tmp_path, "ab", (1e-3, 3e-4), train__steps=200, **options)
    lanes.train(found)
    for lane in found:
        alone = shrunk(name, tmp_path, train__steps=200, optimizer__learning_rate=lane.config.optimizer.learning_rate)
        close(lane.workdir, solo(lane._replace(config=alone), tmp_path), 200)
