import subprocess
import sys

import jax
import numpy as np
import pytest
from sklearn.datasets import load_digits

from gen_jax import data
from gen_jax.cli.main import main
from gen_jax.data.condition import Condition
from gen_jax.data.loader import prefetch
from gen_jax.errors import InputError


def digits(**options):
    return data.make(**{"name": "digits", "batch_size": 64, **options})


def test_digits_are_scikit_learns():
    expected = load_digits()
    train, test = digits(image_size=8), digits(image_size=8, split="test")
    held = np.arange(1797) % 6 == 5
    assert train.spec == data.Spec((8, 8, 1), 1498, {"label": data.Condition("label", (), 10, tuple("0123456789"))})
    assert test.spec == train.spec._replace(size=299)
    for dataset, chosen in ((train, ~held), (test, held)):
        pixels = dataset.resident["image"][..., 0]
        assert np.abs(pixels - expected.images[chosen] * 255 / 16).max() <= 0.5
        assert (dataset.resident["condition"]["label"] == expected.target[chosen]).all()
    assert digits().spec.shape == (16, 16, 1)
    assert digits(channels=3, image_size=32).spec.shape == (32, 32, 3)


def test_a_batch_is_made_of_its_rows():
    dataset = digits(seed=4)
    for position in (0, 23, 10_000):  # 23 * 64 = 1472: straddles the first epoch's end
        whole = dataset.batch(position, np.arange(64))
        assert whole["index"].dtype == whole["row"].dtype == np.int32
        assert whole["image"].dtype == np.uint8 and whole["image"].shape == (64, 16, 16, 1)
        parts = [digits(seed=4).batch(position, np.arange(64)[process::4]) for process in range(4)]
        joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
        back = np.argsort(joined["row"])
        same = jax.tree.map(lambda a, b, back=back: (a[back] == b).all(), joined, dict(whole))
        assert jax.tree.all(same)
    assert (digits(seed=5).batch(0, np.arange(64))["index"] != digits(seed=4).batch(0, np.arange(64))["index"]).any()


def test_sequential_shows_every_image_once():
    dataset = digits(split="test")
    batches = list(dataset.sequential(64))
    assert {batch["image"].shape for batch in batches} == {(64, 16, 16, 1)}
    shown = np.concatenate([batch["index"][batch["mask"] > 0] for batch in batches])
    assert (shown == np.arange(299)).all()


def test_transform_flips_in_training_only():
    batch = digits().batch(0, np.arange(64))
    key = jax.random.key(0)
    assert (np.asarray(digits(flip=True).transform(batch, key, 0)["image"]) != batch["image"]).any()
    assert (np.asarray(digits(flip=True, split="test").transform(batch, key, 0)["image"]) == batch["image"]).all()


def test_binarize_makes_the_spec_binary():
    assert not digits().spec.binary
    dataset = digits(binarize="static")
    assert dataset.spec.binary
    batch = dataset.transform(dataset.batch(0, np.arange(64)), jax.random.key(0), dataset.seed)
    assert set(np.unique(batch["image"])) == {0, 255}
    assert batch["condition"]["label"].shape == (64,)


def test_training_and_test_images_share_no_static_draws():
    # Images of one index, all of the middle grey: half of the pixels agree by chance.
    image = np.full((64, 16, 16, 1), 128, np.uint8)
    batch = {"image": image, "index": np.arange(64, dtype=np.int32), "row": np.arange(64, dtype=np.int32)}
    sets = [digits(binarize="static", split=split) for split in ("train", "test")]
    train, test = (np.asarray(one.transform(batch, jax.random.key(0), np.uint32(0))["image"]) for one in sets)
    assert abs((train == test).mean() - 0.5) < 5 * np.sqrt(0.25 / image.size)


def test_classes_are_told_in_one_line():
    names = tuple(f"kind of\nbird {i}" for i in range(200))
    spec = digits().spec
    assert spec.classes_line == "10 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert spec._replace(conditions={}).classes_line == "no classes"
    line = spec._replace(conditions={"label": Condition("label", (), 200, names)}).classes_line
    assert line.startswith("200 classes: kind of bird 0, kind of bird 1,") and line.endswith(" ...")
    assert len(line) <= 100 and "\n" not in line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"binarize": "random"}, "data.binarize=random: must be one of none, dynamic, static, threshold"),
        ({"resize": "fit"}, "data.resize=fit: must be one of crop, stretch"),
        ({"split": "validation"}, "data.split=validation: must be one of train, test"),
        ({"channels": 2}, "data.channels=2: must be one of 0, 1, 3"),
        ({"image_size": -1}, "data.image_size=-1: must be >= 0"),
        ({"batch_size": 0}, "data.batch_size=0: must be >= 1"),
        ({"batch_size": 2_000_000_000}, "data.batch_size=2000000000: must be <= 65536"),
        ({"image_size": 4097}, "data.image_size=4097: must be <= 4096"),
        ({"seed": -1}, "data.seed=-1: must be >= 0"),
        ({"seed": 2**32}, "data.seed=4294967296: must be <= 4294967295"),
        ({"resident_megabytes": -1}, "data.resident_megabytes=-1: must be >= 0"),
        ({"text": "letters"}, "data.text=letters: must be one of words, bytes, none"),
        ({"text_length": 2}, "data.text_length=2: must be >= 3"),
        ({"text_length": -1}, "data.text_length=-1: must be >= 3"),
        ({"text_length": 9}, "data.text_length=9: no captions of digits are read; leave it out"),
        ({"path": "somewhere"}, "data.path=somewhere: data.name=digits takes none"),
        ({"name": "digit"}, "data.name=digit: no such data set; did you mean digits?"),
        ({"name": ""}, "data.name=: no such form"),
    ],
)
def test_refused(options, message):
    with pytest.raises(InputError, match=message):
        digits(**options)


@pytest.mark.parametrize("value", ["data.batch_size=2000000000", "data.image_size=70000"])
def test_sizes_beyond_all_memory_are_refused_when_a_config_is_loaded(value, capsys):
    assert main(["train", "--config=vae_digits", f"--config.{value}"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {value}: must be <= ") and error.count("\n") == 1


def test_heavy_libraries_are_imported_when_needed():
    heavy = ("tensorflow_datasets", "tensorflow", "sklearn", "grain")
    code = "import sys, gen_jax.data.loader, gen_jax.data.prepare\n"
    code += f"assert not set({heavy}) & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("megabytes", [0, 2048])
def test_prefetch_is_batch_in_order(megabytes):
    dataset = digits(resident_megabytes=megabytes)
    assert (dataset.resident is None) == (megabytes == 0)
    rows = np.arange(16, 32)
    groups = list(prefetch(dataset, range(6, 24), 3, rows))
    assert [len(group) for group in groups] == [3] * 6
    flat = [batch for group in groups for batch in group]
    for position, batch in zip(range(6, 24), flat, strict=True):
        expected = dataset.batch(position, rows)
        assert batch.keys() == expected.keys()
        assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), dict(batch), dict(expected)))
    later = next(prefetch(dataset, range(12, 24), 3, rows))
    assert (later[0]["index"] == flat[6]["index"]).all()
    assert list(prefetch(dataset, range(0), 1, rows)) == []
    with pytest.raises(ValueError, match="no whole number of steps"):
        prefetch(dataset, range(5), 2, rows)


def test_prefetch_hands_on_the_error(tmp_path, write):
    for number in range(20):
        write(tmp_path / f"{number:02}.png", number)
    dataset = data.make(name="folder", path=str(tmp_path), batch_size=6, resident_megabytes=0)
    (tmp_path / "07.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"07\.png"):
        list(prefetch(dataset, range(3), 1, np.arange(6)))
