import json
import time

import numpy as np
import pytest

from gen_jax import data
from gen_jax.data import text, tfds
from gen_jax.data.condition import describe
from gen_jax.errors import InputError

# Of the original MNIST files: test images per digit.
MNIST_TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def fake(root, folder, stored_as="array_record"):
    (root / folder).mkdir(parents=True)
    (root / folder / "dataset_info.json").write_text(json.dumps({"fileFormat": stored_as}))


def test_mnist(tfds_data):
    train = data.make(name="mnist", batch_size=64, resident_megabytes=0)
    test = data.make(name="mnist", batch_size=64, split="test")
    assert train.spec == data.Spec((28, 28, 1), 60000, {"label": data.Condition("label", (), 10, tuple("0123456789"))})
    assert test.spec == train.spec._replace(size=10000)
    if test.fingerprint() == data.make(name="fashion_mnist", batch_size=64, split="test").fingerprint():
        pytest.xfail("the set called mnist in TFDS_DATA_DIR holds Fashion-MNIST's images and labels")
    assert np.bincount(test.resident["condition"]["label"]).tolist() == MNIST_TEST
    assert abs(train.mean().mean() - 0.1307) < 2e-3  # the mean that everybody normalises by


@pytest.mark.slow
def test_fashion_mnist(tfds_data, capfd):
    train = data.make(name="fashion_mnist", batch_size=64, resident_megabytes=0)
    test = data.make(name="fashion_mnist", batch_size=64, split="test")
    assert (train.spec.size, test.spec.size) == (60000, 10000)
    assert train.spec.class_names[9] == "Ankle boot"
    assert np.bincount(test.resident["condition"]["label"]).tolist() == [1000] * 10
    assert abs(train.mean().mean() - 0.2860) < 2e-3  # the mean that everybody normalises by
    assert capfd.readouterr().err == ""  # TFDS's notices


def test_pixels_and_labels_are_those_of_tfds(tfds_data):
    import tensorflow_datasets

    expected = tensorflow_datasets.data_source("cifar10_jpeg", split="test")
    dataset = data.make(name="cifar10_jpeg:1.0.0", batch_size=64, split="test", resident_megabytes=0)
    batch = dataset.batch(3, np.arange(64))
    for row, index in enumerate(batch["index"]):
        example = expected[int(index)]
        assert (batch["image"][row] == example["image"]).all()
        assert batch["condition"]["label"][row] == example["label"]
    assert dataset.spec.class_names[0] == "airplane"


def test_binarized_mnist_is_scaled(tfds_data):
    train = data.make(name="binarized_mnist", batch_size=64, resident_megabytes=0)
    test = data.make(name="binarized_mnist", batch_size=64, split="test")
    assert train.spec == data.Spec((28, 28, 1), 50000, {}, True)
    assert test.spec.size == 10000
    for images in (train.gather(np.arange(100))["image"], test.resident["image"]):
        assert set(np.unique(images)) == {0, 255}
    assert "condition" not in test.resident
    with pytest.raises(InputError, match=r"data.binarize=dynamic: binarized_mnist is binary already"):
        data.make(name="binarized_mnist", batch_size=64, binarize="dynamic")


def test_a_set_without_a_test_split(tfds_data):
    train = data.make(name="noto_emoji", batch_size=64)
    test = data.make(name="noto_emoji", batch_size=64, split="test")
    assert (train.spec.size, test.spec.size) == (3583 - 358, 358)
    import tensorflow_datasets

    source = tensorflow_datasets.data_source("noto_emoji", split="train")
    assert (test.resident["image"][1] == source[19]["image"]).all()
    assert (train.resident["image"][9] == source[10]["image"]).all()


def test_captions_of_words(tfds_data):
    import tensorflow_datasets

    source = tensorflow_datasets.data_source("noto_emoji", split="train")
    captions = [example["caption"].decode() for example in source.__getitems__(range(len(source)))]
    held = np.arange(len(captions)) % 10 == 9
    resident = data.make(name="noto_emoji", batch_size=64)
    test = data.make(name="noto_emoji", batch_size=64, split="test")
    ahead = data.make(name="noto_emoji", batch_size=64, resident_megabytes=0)
    assert resident.spec.conditions == test.spec.conditions == ahead.spec.conditions
    (condition,) = resident.spec.conditions.values()
    # Words of both splits: that each is known; the longest caption has 15.
    words = {word for caption in captions for word in caption.replace(",", " ").split()}
    assert set(condition.names[3:]) == words and condition.shape == (17,)
    for dataset, chosen in ((resident, ~held), (test, held)):
        tokens = dataset.resident["condition"]["text"]
        assert tokens.dtype == np.int32 and tokens.shape == (chosen.sum(), 17)
        expected = [caption.replace(",", " ").split() for caption, here in zip(captions, chosen, strict=True) if here]
        assert [describe(condition, row).split() for row in tokens] == expected
    one, other = (dataset.batch(9, np.arange(64)) for dataset in (resident, ahead))
    assert (one["condition"]["text"] == other["condition"]["text"]).all() and (one["image"] == other["image"]).all()


def test_captions_may_be_bytes_or_left_out(tfds_data):
    read = {text: data.make(name="noto_emoji", batch_size=64, text=text) for text in ("words", "bytes", "none")}
    condition = read["bytes"].spec.conditions["text"]
    assert condition == data.Condition("tokens", (118,), 259)
    assert describe(condition, read["bytes"].resident["condition"]["text"][0]) == "clock face twelve-thirty"
    assert read["none"].spec.conditions == {} and "condition" not in read["none"].resident
    short = data.make(name="noto_emoji", batch_size=64, text_length=6)
    assert short.resident["condition"]["text"].shape == (3225, 6)
    assert len({dataset.fingerprint() for dataset in (*read.values(), short)}) == 4


def test_captions_of_a_set_with_a_test_split(prepared, picture):
    from tensorflow_datasets import features

    texts = {"train": ["Eine Käfer?", "zwei Käfer"], "validation": ["nie gelesen"], "test": ["drei lange Wörter, zwei"]}
    rows = {split: [{"image": picture(n), "text": t} for n, t in enumerate(all_)] for split, all_ in texts.items()}
    prepared("told", {"image": features.Image(shape=(8, 8, 3)), "text": features.Text()}, rows)
    for _ in range(2):  # the second time from the cache
        train, test = (data.make(name="told", batch_size=2, split=split) for split in ("train", "test"))
        (condition,) = train.spec.conditions.values()
        assert test.spec.conditions == {"text": condition}
        assert condition.names[3:] == ("käfer", "zwei", "drei", "eine", "lange", "wörter") and condition.shape == (6,)
        told = [[describe(condition, row) for row in d.resident["condition"]["text"]] for d in (train, test)]
        assert told == [["eine käfer", "zwei käfer"], ["drei lange wörter zwei"]]


def test_not_prepared_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(InputError) as error:
        data.make(name="mnist", batch_size=64)
    assert time.monotonic() - start < 5
    assert str(error.value) == f"data set mnist is not prepared in {tmp_path}; run: gen-jax prepare mnist"


def test_the_directory_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", "relative")
    assert tfds.data_dir() == tmp_path / "relative"
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tfds.data_dir() == tmp_path / "tensorflow_datasets"


def test_tfrecord_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    fake(tmp_path, "mnist/3.0.1", "tfrecord")
    with pytest.raises(InputError, match=r"stored as tfrecord.*gen-jax prepare mnist"):
        data.make(name="mnist", batch_size=64)


def test_versions_and_configs(tmp_path):
    for folder in (
        "one/2.0.0",
        "one/10.0.0",
        "one/9.9.9",
        "two/small/1.0.0",
        "two/large/1.0.0",
        "three/a/1.0.0",
    ):
        fake(tmp_path, folder)
    (tmp_path / "one" / "11.0.0").mkdir()  # an unfinished download
    assert tfds.find("one", tmp_path) == tmp_path / "one/10.0.0"
    assert tfds.find("one:2.0.0", tmp_path) == tmp_path / "one/2.0.0"
    assert tfds.find("two/small", tmp_path) == tmp_path / "two/small/1.0.0"
    assert tfds.find("two/small:1.0.0", tmp_path) == tmp_path / "two/small/1.0.0"
    assert tfds.find("three", tmp_path) == tmp_path / "three/a/1.0.0"
    with pytest.raises(InputError, match="choose one of two/large, two/small"):
        tfds.find("two", tmp_path)
    for absent in ("one:3.0.0", "two/medium", "four"):
        assert tfds.find(absent, tmp_path) is None
    for malformed in ("", "../one", "one:new", "/one"):
        with pytest.raises(InputError, match="no such form"):
            tfds.find(malformed, tmp_path)


def test_prepared_sets_are_listed(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert tfds.prepared() == []
    fake(tmp_path, "two/small/1.0.0")
    fake(tmp_path, "one/1.0.0")
    assert tfds.prepared() == ["one", "two"]


def test_whole_names_are_held_out(tfds_data):
    split = {s: data.make(name="noto_emoji", batch_size=64, split=s, split_by="name") for s in ("train", "test")}
    assert sum(d.spec.size for d in split.values()) == 3583
    assert 0.07 < split["test"].spec.size / 3583 < 0.13
    assert split["train"].spec.conditions == split["test"].spec.conditions
    source = tfds.open_splits("noto_emoji", split_by="name")
    names = {s: {text.name(caption) for caption in source[s]().captions()} for s in source}
    assert not names["train"] & names["test"]
    by_index = tfds.open_splits("noto_emoji")
    mixed = [{text.name(caption) for caption in by_index[s]().captions()} for s in by_index]
    assert len(mixed[0] & mixed[1]) > 50  # what is split by number shows variants of its test images in training


def test_what_cannot_be_split_by_name_is_refused(tfds_data):
    opened = lambda name, **options: data.make(name=name, batch_size=1, split_by="name", **options)
    with pytest.raises(InputError, match="^data.split_by=name: mnist has no captions that are read; leave it out$"):
        opened("mnist")
    with pytest.raises(InputError, match="^data.split_by=name: noto_emoji has no captions that are read"):
        opened("noto_emoji", text="none")
    with pytest.raises(InputError, match="^data.split_by=name: data.name=digits does not take it; leave it out$"):
        opened("digits")
