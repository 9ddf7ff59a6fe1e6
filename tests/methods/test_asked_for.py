"""Models asked for by a caption, by speech and by an image: trained some steps, they answer what they are asked."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

import gen_jax
from gen_jax.cli.main import main
from gen_jax.config import base, resolve
from gen_jax.data.condition import parse
from gen_jax.evaluation.during_training import observers
from gen_jax.provenance.pictures import grid
from gen_jax.train import train


def asked_by(condition, **data):
    """A small GAN of a few steps."""
    config = base("gan")
    config.data.update({"batch_size": 32, **data})
    config.mesh.devices = 1
    config.model.condition = (condition,)
    config.model.latent_size = 8
    config.model.generator = {"name": "convnet", "width": 4}
    config.model.discriminator = {"name": "convnet", "width": 4}
    config.train.update({"steps": 4, "log_every": 1})
    return resolve(config)


def trained(config, workdir):
    train(config, workdir, observers=observers(config))
    return gen_jax.load(workdir)


@pytest.mark.slow
def test_captions(tfds_data, tmp_path, capsys):
    run = trained(asked_by("text", name="noto_emoji", image_size=16), tmp_path / "run")
    cat, dog = (parse("text", run.spec.conditions["text"], text) for text in ("cat face", "dog face"))
    images = run.sample([3], {"text": cat})
    np.testing.assert_array_equal(images, run.sample([3, 4], {"text": np.stack([cat, dog])})[:1])
    assert (images != run.sample([3], {"text": dog})).any()
    # The grids of the training show each sample beside the image that is described so.
    drawn = np.asarray(Image.open(tmp_path / "run/samples/step_000004.png"))
    examples = run.dataset().gather(np.arange(64))
    samples = run.sample(range(64), {"text": examples["condition"]["text"]})
    beside = np.stack([examples["image"], samples], 1).reshape(-1, 16, 16, 3)
    np.testing.assert_array_equal(drawn, grid(beside, 16))
    for flags in (["--condition.text=cat face"], ["--condition=test"]):
        assert main(["sample", str(tmp_path / "run"), "--seeds=0-3", *flags]) == 0
    pairs = np.asarray(Image.open(capsys.readouterr().out.split()[-1]))
    assert pairs.shape[:2] == (4 * 66 + 2, 2 * 66 + 2)  # each beside its reference
    assert main(["sample", str(tmp_path / "run"), "--condition.text=cat fase"]) == 2
    assert "face" in capsys.readouterr().err
    assert main(["sample", str(tmp_path / "run")]) == 2
    assert "--condition.text=..." in capsys.readouterr().err


@pytest.mark.slow
def test_speech(tfds_data, tmp_path, capsys):
    run = trained(asked_by("audio", name="digits", audio="free_spoken_digit"), tmp_path / "run")
    test = run.dataset("test")
    takes = test.gather(np.arange(2))["condition"]["audio"]
    one, other = (run.sample([3], {"audio": take}) for take in takes)
    assert (one != other).any()
    tone = (8000 * np.sin(np.arange(16000) * 0.2)).astype(np.int16)
    wavfile.write(tmp_path / "x.wav", 16000, tone)
    assert main(["sample", str(tmp_path / "run"), "--seeds=0-3", f"--condition.audio={tmp_path / 'x.wav'}"]) == 0
    assert "resampled" in capsys.readouterr().err


@pytest.mark.slow
def test_images(tmp_path, capsys):
    rng = np.random.default_rng(0)
    arrays = {name: rng.integers(0, 256, (80, 16, 16, 1), np.uint8) for name in ("images", "conditions")}
    np.savez(tmp_path / "pairs.npz", **arrays)
    run = trained(asked_by("image", name="npz", path=str(tmp_path / "pairs.npz")), tmp_path / "run")
    Image.fromarray(arrays["conditions"][5, ..., 0]).save(tmp_path / "x.png")
    assert (
        main(["sample", str(tmp_path / "run"), "--seeds=7", f"--condition.image={tmp_path / 'x.png'}", "--each"]) == 0
    )
    drawn = np.asarray(Image.open(next((tmp_path / "run/samples").glob("each*/seed_000007.png"))))
    np.testing.assert_array_equal(drawn, run.sample([7], {"image": arrays["conditions"][5]})[0, ..., 0])
    assert (drawn != run.sample([7], {"image": arrays["conditions"][6]})[0, ..., 0]).any()


def test_what_it_is_not_asked_by_is_refused(tmp_path, capsys):
    trained(asked_by("label", name="digits"), tmp_path / "run")
    for flag in ("--condition.label=11", "--condition.text=x", "--condition=best"):
        assert main(["sample", str(tmp_path / "run"), flag]) == 2
        assert len([line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]) == 1
