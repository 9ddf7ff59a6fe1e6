"""Speech beside images: each image hears a take of somebody saying its class."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gen_jax.data import audio, cache, tfds
from gen_jax.errors import InputError

PAIRING = 2**63  # second half of the generator's key, where the order of the images has its epochs


class Speech(NamedTuple):
    """One split of a set of spoken words."""

    name: str
    mels: np.ndarray  # float32 [T, FRAMES, BANDS], the log-mel spectrogram of each take
    labels: np.ndarray  # int32 [T]
    class_names: tuple[str, ...]


class Pairs(NamedTuple):
    """Which take each of N images hears. The spectrograms of the T takes stand here once, however many hear them."""

    mels: np.ndarray  # float32 [T, FRAMES, BANDS], sorted by class
    first: np.ndarray  # uint64 [K], where the takes of each class of the images begin
    count: np.ndarray  # uint64 [K], how many they are
    draw: np.ndarray  # uint64 [N], what the seed drew for each image

    def of(self, indices: np.ndarray | slice, labels: np.ndarray) -> np.ndarray:
        """float32 [n, FRAMES, BANDS], what the images at `indices`, of the classes `labels`, hear."""
        return self.mels[self.first[labels] + self.draw[indices] % self.count[labels]]


def open_split(name: str, split: str, speaker: str = "") -> Speech:
    """The takes of a prepared TFDS set: its features `audio`, samples at 8 kHz, `label`, and perhaps `speaker`.

    Args:
      speaker: who is heard in the test alone: then "test" has all takes of this speaker, from whichever split of the
        set, and "train" those that the others have in its train split. "": the splits are those of the set.

    Raises:
      InputError: not prepared, prepared as TFRECORD, without speech or classes, without this split or this speaker.
    """
    builder, features = tfds.open_builder(name)
    if not tfds.is_speech(features):
        raise InputError(f"data.audio={name}: its features are {', '.join(sorted(features))}; it needs audio and label")
    if speaker and "speaker" not in features:
        raise InputError(f"data.speaker={speaker}: {name} does not say who speaks; leave it out")
    for needed in ("train", split) if speaker else (split,):
        if needed not in builder.info.splits:
            has = ", ".join(builder.info.splits)
            raise InputError(f"data.audio={name}: it has no {needed} split; it has {has}")
    read = lambda split: _takes(name, builder, split)
    if not speaker:
        arrays = read(split)
    else:
        both = [read(split) for split in ("train", "test") if split in builder.info.splits]
        known = np.unique(np.concatenate([part["speakers"] for part in both])).tolist()
        if speaker not in known:
            raise InputError(f"data.speaker={speaker}: the speakers of {name} are {', '.join(known)}")
        parts = both if split == "test" else both[:1]
        chosen = [(part, (part["speakers"] == speaker) == (split == "test")) for part in parts]
        arrays = {key: np.concatenate([part[key][rows] for part, rows in chosen]) for key in ("mels", "labels")}
    return Speech(name, arrays["mels"], arrays["labels"], tuple(features["label"].names))


def _takes(name: str, builder, split: str) -> dict[str, np.ndarray]:
    """`mels`, `labels` and `speakers` of one split of a set, from the cache where they have been read before."""

    def build() -> dict[str, np.ndarray]:
        takes, labels, speakers = [], [], []
        for example in tfds.examples(builder, split):
            samples = np.asarray(example["audio"])
            takes.append(samples / 2**15 if samples.dtype.kind == "i" else samples)
            labels.append(example["label"])
            speakers.append(example["speaker"].decode() if "speaker" in example else "")
        return {"mels": audio.log_mels(takes), "labels": np.array(labels, np.int32), "speakers": np.array(speakers)}

    constants = ["speakers", audio.RATE, audio.WINDOW, audio.HOP, audio.FRAMES, audio.BANDS, audio.FLOOR]
    identity = [[file.stamp for file in tfds.files_of(builder, split)], constants]
    return cache.cached(f"{name}-{split}-speech", identity, build)


def pair(speech: Speech, class_names: Sequence[str], *, size: int, seed: int) -> Pairs:
    """Gives each of `size` images one of the takes of its class, a function of (seed, the image's index) alone.

    Args:
      class_names: of the images; a class of the same name must have takes.

    Raises:
      InputError: the classes that have none; images without classes.
    """
    if not class_names:
        raise InputError(f"data.audio={speech.name}: these images have no classes to be said; use a labelled set")
    numbers = [speech.class_names.index(name) if name in speech.class_names else -1 for name in class_names]
    takes = [np.flatnonzero(speech.labels == number) for number in numbers]
    count = np.array([len(of_class) for of_class in takes], np.uint64)
    if silent := [name for name, number in zip(class_names, count, strict=True) if not number]:
        spoken = ", ".join(speech.class_names[:12])
        raise InputError(f"data.audio={speech.name}: nobody says {', '.join(silent[:12])}; it says {spoken}")
    return Pairs(
        mels=speech.mels[np.concatenate(takes)],
        first=np.cumsum(count) - count,
        count=count,
        draw=np.random.Philox(key=[seed, PAIRING]).random_raw(size),
    )
