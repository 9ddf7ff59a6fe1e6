from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from gen_jax import data
from gen_jax.data import audio, condition, speech, tfds
from gen_jax.errors import InputError


@pytest.fixture
def said():
    """60 takes of the words a, b, c and d, 0 of d; the spectrogram of take t is t everywhere."""
    mels = np.broadcast_to(np.arange(60, dtype=np.float32)[:, None, None], (60, 100, 40))
    labels = np.random.default_rng(0).integers(0, 3, 60).astype(np.int32)
    return speech.Speech("words", mels, labels, ("a", "b", "c", "d"))


def hears(pairs, indices, labels):
    return pairs.of(indices, labels)[:, 0, 0].astype(int)


def test_each_image_hears_its_own_class(said):
    size = 6000
    labels = np.random.default_rng(1).integers(0, 2, size)
    pairs = speech.pair(said, ("c", "a"), size=size, seed=3)
    takes = hears(pairs, np.arange(size), labels)
    assert (said.labels[takes] == np.where(labels == 0, 2, 0)).all()
    for label in (0, 1):  # every take is heard, as often as chance has it
        count = np.bincount(takes[labels == label], minlength=60)
        (ours,) = np.nonzero(said.labels == (2 if label == 0 else 0))
        expected = (labels == label).sum() / len(ours)
        assert np.abs(count[ours] - expected).max() < 5 * np.sqrt(expected)


def test_who_is_heard_is_a_function_of_the_seed_and_the_index_alone(said):
    labels = np.arange(100) % 3
    whole = hears(speech.pair(said, ("a", "b", "c"), size=100, seed=3), np.arange(100), labels)
    some = np.array([7, 99, 0, 42])
    assert (hears(speech.pair(said, ("a", "b", "c"), size=100, seed=3), some, labels[some]) == whole[some]).all()
    longer = speech.pair(said, ("a", "b", "c"), size=1000, seed=3)
    assert (hears(longer, np.arange(100), labels) == whole).all()
    other = speech.pair(said, ("a", "b", "c"), size=100, seed=4)
    assert (hears(other, np.arange(100), labels) != whole).mean() > 0.5


def test_classes_that_nobody_says_are_named(said):
    with pytest.raises(InputError, match="^data.audio=words: nobody says d, bag; it says a, b, c, d$"):
        speech.pair(said, ("a", "d", "bag"), size=10, seed=0)
    with pytest.raises(InputError, match="^data.audio=words: these images have no classes"):
        speech.pair(said, (), size=10, seed=0)


def open_digits(**options):
    return data.make(**{"name": "digits", "batch_size": 16, "audio": "free_spoken_digit", **options})


def test_digits_are_said(tfds_data):
    train, test = open_digits(), open_digits(split="test")
    assert train.spec.conditions["audio"] == data.Condition("audio", (100, 40))
    assert test.spec == train.spec._replace(size=299)
    for dataset, split in ((train, "train"), (test, "test")):
        takes = speech.open_split("free_spoken_digit", split)
        assert len(takes.mels) == {"train": 2700, "test": 300}[split]
        known = {mel.tobytes(): label for mel, label in zip(takes.mels, takes.labels, strict=True)}
        assert len(known) == len(takes.mels)
        found = dataset.resident["condition"]
        assert found["audio"].dtype == np.float32
        heard = [known[mel.tobytes()] for mel in found["audio"]]  # of this split, or a KeyError
        assert (np.array(heard) == found["label"]).all()


def test_a_take_as_a_file_says_what_it_says_in_the_set(tfds_data, tmp_path):
    import tensorflow_datasets

    folder = tfds.find("free_spoken_digit", Path(tfds_data))  # whatever folder TFDS was imported with
    records = tensorflow_datasets.builder_from_directory(folder).as_data_source("test")
    takes = speech.open_split("free_spoken_digit", "test")
    for number in (0, 150):
        wavfile.write(tmp_path / "take.wav", 8000, records[number]["audio"])
        found = condition.parse("audio", data.Condition("audio", (100, 40)), str(tmp_path / "take.wav"))
        np.testing.assert_allclose(found, takes.mels[number], atol=1e-5)
        assert takes.labels[number] == records[number]["label"]


def test_takes_of_a_set_of_ones_own(prepared):
    from tensorflow_datasets import features

    low = np.int16(1000 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000))
    words = {
        "audio": features.Tensor(shape=(None,), dtype=np.int16),
        "label": features.ClassLabel(names=["low", "none"]),
    }
    prepared("tones", words, {"train": [{"audio": low, "label": 0}, {"audio": low[:100], "label": 0}]})
    takes = speech.open_split("tones", "train")
    np.testing.assert_allclose(takes.mels[0], audio.log_mel(low / 32768), atol=1e-5)
    assert takes.labels.tolist() == [0, 0] and takes.class_names == ("low", "none")
    with pytest.raises(InputError, match="data.audio=tones: it has no test split; it has train"):
        speech.open_split("tones", "test")
    with pytest.raises(InputError, match="data.audio=tones: nobody says none; it says low, none"):
        speech.pair(takes, takes.class_names, size=3, seed=0)


def test_features_that_need_tensorflow_are_refused(prepared, monkeypatch):
    import tensorflow_datasets
    from tensorflow_datasets import features

    prepared("sound", {"label": features.ClassLabel(names=["a"])}, {"train": [{"label": 0}]})

    def needs(folder):
        # As TFDS does where a set has its Audio feature; whether it does depends on what it was asked for before.
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")

    monkeypatch.setattr(tensorflow_datasets, "builder_from_directory", needs)
    with pytest.raises(InputError, match="data set sound has features that TFDS reads by tensorflow only"):
        speech.open_split("sound", "train")


def test_speech_is_looked_up_as_needed_where_it_has_no_room(tfds_data):
    whole = open_digits()  # 1498 images: 0.4 MiB, and 23 MiB of spectrograms
    held, read = open_digits(resident_megabytes=1), open_digits(resident_megabytes=0)
    assert whole.resident is not None and held.resident is None and read.resident is None
    assert open_digits(resident_megabytes=22).resident is None
    assert open_digits(resident_megabytes=24).resident is not None
    for dataset in (held, read):
        one, other = (d.batch(7, np.arange(16)) for d in (whole, dataset))
        assert one["condition"].keys() == other["condition"].keys() == {"label", "audio"}
        assert (one["image"] == other["image"]).all()
        for name in ("label", "audio"):
            assert (one["condition"][name] == other["condition"][name]).all()
    assert held.fingerprint() == whole.fingerprint() != read.fingerprint()
    assert (held.mean() == whole.mean()).all()


def test_the_seed_of_the_pairs_is_part_of_the_fingerprint(tfds_data):
    assert open_digits().fingerprint() == open_digits(batch_size=8).fingerprint()
    assert open_digits().fingerprint() != open_digits(seed=1).fingerprint()
    assert open_digits().fingerprint() != open_digits(audio="").fingerprint()
    assert open_digits(audio="", seed=1).fingerprint() == open_digits(audio="").fingerprint()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "fashion_mnist"}, "data.audio=free_spoken_digit: nobody says T-shirt/top, Trouser.*it says 0, 1"),
        ({"name": "noto_emoji"}, "data.audio=free_spoken_digit: these images have no classes"),
        ({"audio": "mnist"}, "data.audio=mnist: its features are image, label; it needs audio and label"),
        ({"audio": "spoken"}, "data set spoken is not prepared"),
        (
            {"name": "free_spoken_digit", "audio": ""},
            "speech without images; name it beside labelled images: data.audio=",
        ),
    ],
)
def test_refused(tfds_data, options, message):
    with pytest.raises(InputError, match=message):
        open_digits(**options)


def test_a_speaker_can_be_left_out(tfds_data):
    of = {split: speech.open_split("free_spoken_digit", split, speaker="theo") for split in ("train", "test")}
    whole = {split: speech.open_split("free_spoken_digit", split) for split in ("train", "test")}
    assert len(of["train"].mels) == 2700 - 450 and len(of["test"].mels) == 450 + 50
    known = {mel.tobytes() for mel in np.concatenate([whole["train"].mels, whole["test"].mels])}
    train, test = ({mel.tobytes() for mel in of[split].mels} for split in ("train", "test"))
    assert train < known and test < known and not train & test
    assert np.bincount(of["test"].labels).tolist() == [50] * 10
    heard = open_digits(speaker="theo", split="test").resident["condition"]["audio"]
    assert {mel.tobytes() for mel in heard} <= test
    assert open_digits(speaker="theo").fingerprint() != open_digits().fingerprint()


def test_a_speaker_without_speech_is_refused():
    with pytest.raises(InputError, match="^data.speaker=bob: no image hears anything; set data.audio$"):
        data.make(name="digits", batch_size=1, speaker="bob")


def test_speakers_of_a_set_of_ones_own(prepared):
    from tensorflow_datasets import features

    low = np.int16(1000 * np.sin(np.arange(800)))
    words = {"audio": features.Tensor(shape=(None,), dtype=np.int16), "label": features.ClassLabel(names=["low"])}
    take = lambda who, n: {"audio": low[: 300 + n], "label": 0, "speaker": who}
    rows = {"train": [take("ann", 1), take("bob", 2), take("bob", 3)], "test": [take("ann", 4), take("bob", 5)]}
    prepared("mute", words, {"train": [{"audio": low, "label": 0}]})
    prepared("told", {**words, "speaker": features.Text()}, rows)
    every = dict(enumerate(audio.log_mels([low[: 300 + n] / 32768 for n in range(1, 6)]), 1))

    def numbers(split, speaker):
        found = speech.open_split("told", split, speaker).mels
        return [n for mel in found for n in every if np.allclose(mel, every[n], atol=1e-5)]

    assert numbers("train", "") == [1, 2, 3] and numbers("test", "") == [4, 5]
    assert numbers("train", "ann") == [2, 3] and numbers("test", "ann") == [1, 4]
    assert numbers("train", "bob") == [1] and numbers("test", "bob") == [2, 3, 5]
    with pytest.raises(InputError, match="^data.speaker=eve: the speakers of told are ann, bob$"):
        speech.open_split("told", "train", "eve")
    with pytest.raises(InputError, match="^data.speaker=ann: mute does not say who speaks; leave it out$"):
        speech.open_split("mute", "train", "ann")
