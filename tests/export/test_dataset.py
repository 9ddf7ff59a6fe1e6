"""Generated images as a data set: what is written can be read, knows where it comes from, or is not there at all."""

import json

import numpy as np
import pytest
from PIL import Image
from shrunk import shrunk

import gen_jax
from gen_jax import data, randomness
from gen_jax.cli.main import main
from gen_jax.train import train


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """An unconditional and a conditional run."""
    root = tmp_path_factory.mktemp("runs")
    train(shrunk("vae_digits", root, train__steps=1), root / "plain")
    train(shrunk("vae_digits", root, train__steps=1, model__condition="label"), root / "classes")
    return root


def test_both_forms_hold_the_images_of_the_seeds_and_their_classes(runs, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert main(["export-dataset", str(runs / "classes"), "--count=30", "--seed=5", f"--out={out}"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    run = gen_jax.load(runs / "classes")
    images = run.sample(range(5, 35))
    labels = np.asarray(randomness.classes(randomness.image_keys(np.arange(5, 35)), 10))
    files = sorted((out / "images").rglob("*.png"))
    assert len(files) == 30
    for file in files:
        seed = int(file.stem.removeprefix("seed_"))
        np.testing.assert_array_equal(np.asarray(Image.open(file)), images[seed - 5][..., 0])
        assert file.parent.name == f"{labels[seed - 5]:03d}-{labels[seed - 5]}"
        text = Image.open(file).text
        assert text["Comment"] == "AI-generated" and text["Seed"] == str(seed) and len(text["Config-SHA256"]) == 64

    import tensorflow_datasets as tfds

    source = tfds.data_source("generated", data_dir=str(out / "tfds"), split="train")
    assert len(source) == 30
    for i in (0, 29):
        np.testing.assert_array_equal(source[i]["image"], images[i])
        assert source[i]["label"] == labels[i] and source[i]["seed"] == 5 + i
    about = json.loads((out / "provenance.json").read_text())
    assert about["seeds"] == "5-34" and about["Step"] == 1 and about["Comment"] == "AI-generated"

    monkeypatch.setenv("TFDS_DATA_DIR", str(out / "tfds"))
    for source in ({"name": "generated"}, {"name": "folder", "path": str(out / "images")}):
        splits = [data.make(**source, batch_size=4, split=split) for split in ("train", "test")]
        assert sum(split.spec.size for split in splits) == 30 and splits[0].spec.shape == (16, 16, 1)
        assert splits[0].spec.classes == len(set(labels)) or source["name"] == "generated"


def test_without_classes_there_are_no_labels(runs, tmp_path):
    assert main(["export-dataset", str(runs / "plain"), "--count=3", f"--out={tmp_path / 'out'}"]) == 0
    assert sorted(p.name for p in (tmp_path / "out/images").iterdir()) == [f"seed_00000{i}.png" for i in range(3)]
    assert "label" not in (tmp_path / "out/tfds/generated/1.0.0/features.json").read_text()


def test_nothing_is_overwritten_and_nothing_half_written_is_left(runs, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    for flags, message in [
        (["--count=0"], "--count=0: must be >= 1"),
        (["--seed=-1"], "--seed=-1: must be >= 0"),
        (["--name=Not Good"], "lower-case"),
    ]:
        assert main(["export-dataset", str(runs / "plain"), f"--out={out}", *flags]) == 2
        assert message in capsys.readouterr().err and not any(tmp_path.iterdir())
    (tmp_path / "taken").mkdir()
    assert main(["export-dataset", str(runs / "plain"), f"--out={tmp_path / 'taken'}"]) == 2
    assert "is there already" in capsys.readouterr().err

    from gen_jax.export import dataset

    def breaks(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dataset, "write_tfds", breaks)
    assert main(["export-dataset", str(runs / "plain"), "--count=2", f"--out={out}"]) == 2
    assert "disk full" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
