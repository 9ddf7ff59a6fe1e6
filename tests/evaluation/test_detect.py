"""Detectors: what they can see, and that their scores are of images that they never saw."""

import json

import numpy as np
import pytest
from PIL import Image
from shrunk import shrunk

import gen_jax
from gen_jax.cli.main import main
from gen_jax.evaluation import detect
from gen_jax.runtime import logbook
from gen_jax.train import train


def test_power_spectrum_of_a_wave_is_one_ring():
    rows, columns = np.mgrid[:16, :16]
    for frequency in (2, 5):
        wave = (127 + 100 * np.cos(2 * np.pi * frequency * columns / 16)).round().astype(np.uint8)[None, ..., None]
        power = np.exp(detect.power_spectrum(wave)[0])
        power[0] = 0.0  # the mean
        assert power.argmax() == frequency and power[frequency] > 100 * np.delete(power, frequency).max()
    assert np.isfinite(detect.power_spectrum(np.zeros((2, 12, 16, 3), np.uint8))).all()


def test_spectrum_sees_a_checkerboard_and_not_what_is_the_same():
    rng = np.random.default_rng(0)
    smooth = rng.integers(40, 200, (400, 4, 4, 1)).repeat(4, 1).repeat(4, 2).astype(np.int64)
    board = ((np.indices((16, 16)).sum(0) % 2) * 6 - 3)[None, ..., None]
    reals, fakes = (smooth + rng.integers(-2, 3, smooth.shape)).astype(np.uint8)[:200], None
    fakes = (smooth + board + rng.integers(-2, 3, smooth.shape)).astype(np.uint8)[200:]
    detector = detect._spectrum(reals[:100], fakes[:100])
    assert detect._auc(detector.score(reals[100:]), detector.score(fakes[100:])) > 0.95
    nothing = detect._spectrum(reals[:100], reals[100:])
    others = (smooth + rng.integers(-2, 3, smooth.shape)).astype(np.uint8)
    assert 0.35 < detect._auc(nothing.score(others[:200]), nothing.score(others[200:])) < 0.65


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    for name in ("vae_digits", "gan_digits"):
        train(shrunk(name, root, train__steps=1, data__batch_size=8), root / name)
    return root


@pytest.fixture
def short(monkeypatch):
    """A detector of ten steps."""
    from gen_jax.config import load

    quick = lambda name, overrides=(): load(name, [*overrides, ("train.steps", "10")])  # noqa: E731
    monkeypatch.setattr(detect, "load_config", quick)


@pytest.mark.slow
def test_verb_reports_the_generator_it_knows_and_the_one_it_does_not(runs, short, tmp_path, capsys):
    image = gen_jax.load(runs / "gan_digits").sample(range(3, 4))[0]
    Image.fromarray(image[..., 0]).save(tmp_path / "a.png")
    flags = ["--count=60", f"--against={runs / 'vae_digits'}", "--images", str(tmp_path / "a.png")]
    capsys.readouterr()
    assert main(["detect", str(runs / "gan_digits"), *flags]) == 0
    told = json.loads(capsys.readouterr().out)
    seen = [(r["metric"], r["protocol"]["generator_seen_in_training"]) for r in told["auc"]]
    spectrum, cnn = "detectability_spectrum", "detectability_cnn"
    assert seen == [(spectrum, True), (cnn, True), (spectrum, False), (cnn, False)]
    assert all(0.0 <= r["value"] <= 1.0 for r in told["auc"])
    assert logbook.read_records(runs / "gan_digits/evaluations.jsonl") == told["auc"][:2]
    # An untrained generator draws grey; random images have all frequencies.
    assert told["auc"][0]["value"] > 0.9
    assert 0.0 <= told["images"][0]["cnn"] <= 1.0 and "one generator" in told["note"]


def test_refusals(runs, short, tmp_path, capsys):
    Image.new("RGB", (16, 16)).save(tmp_path / "colour.png")
    (tmp_path / "text.png").write_text("no image")
    np.savez(tmp_path / "other.npz", images=np.random.default_rng(1).integers(0, 256, (80, 16, 16, 1), np.uint8))
    train(shrunk("vae_digits", tmp_path, train__steps=1, data__path=tmp_path / "other.npz"), tmp_path / "other")
    for flags, message in [
        (["--count=5"], "--count=5: must be between 50"),
        ([f"--against={tmp_path / 'other'}"], "is not trained on the data of"),
        (["--images", str(tmp_path / "colour.png")], "16x16x3"),
        (["--images", str(tmp_path / "text.png")], "cannot be read as an image"),
        (["--images", str(tmp_path / "nowhere.png")], "nowhere.png (No such file or directory)"),
    ]:
        assert main(["detect", str(runs / "gan_digits"), *flags]) == 2
        assert message in capsys.readouterr().err
