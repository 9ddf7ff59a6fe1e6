import json
import os

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from gen_jax.data import Condition, Spec, audio
from gen_jax.data.condition import describe, note, parse, picture
from gen_jax.data.dataset import spec_from_json
from gen_jax.errors import InputError

WORDS = ("<pad>", "<begin>", "<end>", "a", "circle", "red")
LABEL = Condition("label", (), 3, ("ant", "bee", "1"))
TEXT = Condition("tokens", (5,), 6, WORDS)
BYTES = Condition("tokens", (8,), 259)
SPEECH = Condition("audio", (audio.FRAMES, audio.BANDS))
TWIN = Condition("image", (4, 6, 3))
MASK = Condition("mask", (4, 4, 1))


def refused(name, condition, text, message):
    with pytest.raises(InputError) as error:
        parse(name, condition, text)
    assert str(error.value) == f"--condition.{name}={text}: {message}"


def test_labels():
    assert parse("label", LABEL, "bee") == 1 and parse("label", LABEL, "0") == 0
    assert parse("label", LABEL, "1") == 2  # a name before a number
    assert parse("label", LABEL, "2").dtype == np.int32
    for text in ("cat", "3", "-1", "", "²"):
        refused("label", LABEL, text, "its classes are 0 to 2 (ant, bee, 1)")
    refused("label", Condition("label", (), 10, tuple("0123456789")), "10", "its classes are 0 to 9")
    assert [describe(LABEL, np.int32(n)) for n in range(3)] == ["ant", "bee", "1"]
    assert describe(LABEL._replace(names=()), np.int32(2)) == "2"
    assert picture(LABEL, np.int32(1)) is None


def test_captions_need_nothing_but_what_a_run_holds():
    for condition, caption, tokens in (
        (TEXT, "A red circle!", [1, 3, 5, 4, 2]),
        (TEXT, "", [1, 2, 0, 0, 0]),
        (BYTES, "Aé", [1, 3 + 0x41, 3 + 0xC3, 3 + 0xA9, 2, 0, 0, 0]),
    ):
        spec = Spec((8, 8, 1), 10, {"text": condition})
        read = spec_from_json(json.loads(json.dumps(spec.to_json()))).conditions["text"]
        assert read == condition
        value = parse("text", read, caption)
        assert value.dtype == np.int32 and value.tolist() == tokens
        assert picture(read, value) is None
    assert describe(TEXT, parse("text", TEXT, "A red circle!")) == "a red circle"
    assert describe(BYTES, parse("text", BYTES, "Aé!")) == "Aé!"
    refused("text", TEXT, "a rad circle", "no caption of the set has rad (did you mean red?)")
    refused("text", TEXT, "a red red circle", "4 words are too many; give at most 3")
    refused("text", BYTES, "1234567", "7 bytes are too many; give at most 6")


def test_speech_is_the_path_of_a_file(tmp_path):
    path = str(tmp_path / "x.wav")
    samples = 0.3 * np.sin(2 * np.pi * 2000 * np.arange(8000) / 8000)
    wavfile.write(path, 8000, samples.astype(np.float32))
    value = parse("audio", SPEECH, path)
    assert value.dtype == np.float32
    np.testing.assert_allclose(value, audio.log_mel(samples), atol=0.01)
    assert describe(SPEECH, value) == "speech" and note(SPEECH, path) == ""
    wavfile.write(path, 16000, samples.astype(np.float32))
    assert note(SPEECH, path) == "resampled from 16000 to 8000 Hz"
    refused("audio", SPEECH, str(tmp_path / "no.wav"), "No such file or directory; give a WAV file")


def test_speech_looks_like_its_spectrogram():
    value = np.full((100, 40), -13.8, np.float32)
    value[30, 0], value[60, 39] = 2.0, -5.9  # low and loud, later high and half as loud
    pixels = picture(SPEECH, value)
    assert pixels.shape == (40, 100, 1) and pixels.dtype == np.uint8
    assert pixels[39, 30] == 255 and pixels[0, 60] == 128 and (pixels > 0).sum() == 2
    with np.errstate(all="raise"):
        assert (picture(SPEECH, np.zeros((100, 40), np.float32)) == 0).all()


def test_images_are_the_paths_of_files(tmp_path, write):
    path = tmp_path / "x.png"
    pixels = write(path, 1, height=4, width=6)
    value = parse("image", TWIN, str(path))
    assert value.dtype == np.uint8 and (value == pixels).all()
    assert (picture(TWIN, value) == pixels).all() and describe(TWIN, value) == "image"
    wide = write(path, 2, height=4, width=10)
    assert (parse("image", TWIN, str(path)) == wide[:, 2:8]).all()
    grey = write(path, 3, height=4, width=6, channels=1)
    assert parse("image", TWIN, str(path)).shape == (4, 6, 3)
    assert (parse("image", TWIN, str(path)) == np.repeat(grey, 3, 2)).all()
    write(path, 4, height=100, width=80)
    assert parse("image", TWIN, str(path)).shape == (4, 6, 3)
    mask = np.uint8([[0, 1], [1, 0]]).repeat(2, 0).repeat(2, 1)
    Image.fromarray(mask).save(path)
    assert (parse("mask", MASK, str(path))[:, :, 0] == 255 * mask).all()
    assert describe(MASK, mask[:, :, None]) == "mask"
    path.write_text("no image")
    refused("image", TWIN, str(path), "cannot be decoded (not an image); give an image file")
    refused("image", TWIN, str(tmp_path / "no.png"), "No such file or directory; give an image file")


@pytest.mark.parametrize("name, condition, hint", [("image", TWIN, "an image"), ("audio", SPEECH, "a WAV")])
def test_a_pipe_is_refused_and_not_waited_for(name, condition, hint, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    refused(name, condition, str(tmp_path / "pipe"), f"a device or a pipe, no file; give {hint} file")
