import wave

import numpy as np
import pytest
from scipy.io import wavfile

from gen_jax.data import audio
from gen_jax.errors import InputError


def tone(hertz, amplitude=0.5, rate=8000, seconds=1.0):
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def test_mel_is_htks():
    assert audio.mel(1000) == pytest.approx(1000, abs=0.02)  # as the scale was meant
    assert audio.mel(0) == 0
    assert audio.hertz(audio.mel([0, 50, 440, 4000])) == pytest.approx([0, 50, 440, 4000])
    steps = np.diff(audio.mel(audio.edges()))
    assert steps == pytest.approx(steps[0]) and audio.edges()[[0, -1]] == pytest.approx([0, 4000])


def test_filters_are_triangles():
    rows, edges = audio.filters(), audio.edges()
    assert rows.shape == (40, 129) and (rows >= 0).all() and (rows.max(1) > 0).all()
    for band, row in enumerate(rows):
        expected = np.interp(np.arange(129) * 31.25, edges[band : band + 3], [0, 1, 0], left=0, right=0)
        np.testing.assert_allclose(row, expected, atol=1e-12)
    # Between the first and the last centre the triangles add up to one: no power is counted twice or lost.
    inside = (np.arange(129) * 31.25 > edges[1]) & (np.arange(129) * 31.25 < edges[-2])
    np.testing.assert_allclose(rows.sum(0)[inside], 1)


def test_log_mel_is_what_a_loop_over_frames_and_bins_says():
    samples = np.random.default_rng(0).normal(0, 0.1, audio.SAMPLES)
    found = audio.log_mel(samples)
    assert found.shape == (100, 40) and found.dtype == np.float32
    n = np.arange(256)
    hann = np.sin(np.pi * n / 256) ** 2
    for t in (0, 1, 50, 97, 99):  # the last two reach beyond the end
        frame = np.array([samples[80 * t + i] if 80 * t + i < 8000 else 0.0 for i in n]) * hann
        power = [abs(sum(frame * np.exp(-2j * np.pi * k * n / 256))) ** 2 for k in range(129)]
        expected = np.log(1e-6 + audio.filters() @ power)
        np.testing.assert_allclose(found[t], expected, rtol=1e-5)


@pytest.mark.parametrize("hertz", [200, 440, 1000, 2345, 3800])
def test_a_tone_lands_in_the_band_that_holds_it(hertz):
    bands = audio.log_mel(tone(hertz))[:97].argmax(1)
    expected = np.abs(audio.edges()[1:-1] - hertz).argmin()
    # Low bands are narrower than the window resolves: the tone stands in them or beside them.
    assert (np.abs(bands - expected) <= (hertz < 500)).all()


def test_the_power_of_a_tone():
    # A sine of amplitude 1 on a bin has the power (sum of the window / 2)^2 = 4096 there.
    band = 31.25 * 64  # 2000 Hz
    weight = audio.filters()[:, 64]
    spread = audio.filters()[:, 63] / 4 + audio.filters()[:, 65] / 4  # Hann: half the amplitude on either side
    expected = np.log(1e-6 + 4096 * (weight + spread))
    near = weight > 0
    np.testing.assert_allclose(audio.log_mel(tone(band, amplitude=1))[10][near], expected[near], rtol=1e-4)


def test_louder_speech_is_the_same_plus_a_constant():
    samples = np.random.default_rng(1).normal(0, 0.05, audio.SAMPLES)
    quiet, loud = audio.log_mel(samples), audio.log_mel(10 * samples)
    np.testing.assert_allclose(loud - quiet, np.log(100), atol=1e-3)


def test_silence_is_the_floor():
    assert (audio.log_mel(np.zeros((2, audio.SAMPLES))) == np.float32(np.log(1e-6))).all()


def test_takes_of_any_length_become_one_second():
    rng = np.random.default_rng(2)
    takes = [rng.normal(0, 0.1, size) for size in (0, 1, 500, 8000, 12000)] + [rng.normal(0, 0.1, 300)] * 100
    found = audio.log_mels(takes)
    assert found.shape == (105, 100, 40)
    np.testing.assert_array_equal(found[4], audio.log_mel(takes[4][:8000]))
    np.testing.assert_array_equal(found[2], audio.log_mel(np.concatenate([takes[2], np.zeros(7500)])))
    np.testing.assert_array_equal(found[2, 7:], np.float32(np.log(1e-6)))  # frames from sample 560 on
    assert (found[5:] == found[5]).all()


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize("channels", [1, 2])
def test_pcm_of_all_widths_is_read(tmp_path, bits, channels):
    samples = np.stack([tone(440), tone(660)][:channels], 1)
    whole = np.rint(samples * (2 ** (bits - 1) - 1)).astype(np.int64)
    if bits == 8:
        content = (whole + 128).astype(np.uint8).tobytes()
    else:
        content = whole.astype("<i8")[..., None].view(np.uint8)[..., : bits // 8].tobytes()
    with wave.open(str(tmp_path / "x.wav"), "wb") as file:
        file.setnchannels(channels), file.setsampwidth(bits // 8), file.setframerate(8000)
        file.writeframes(content)
    found, note = audio.read(tmp_path / "x.wav")
    assert note == "" and found.shape == (8000,)
    assert np.abs(found - samples.mean(1)).max() <= 1.5 / 2 ** (bits - 1)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_floats_are_read(tmp_path, kind):
    wavfile.write(tmp_path / "x.wav", 8000, tone(440, seconds=0.5).astype(kind))
    found, note = audio.read(tmp_path / "x.wav")
    np.testing.assert_allclose(found[:4000], tone(440, seconds=0.5), atol=1e-7)
    assert (found[4000:] == 0).all() and note == ""


@pytest.mark.parametrize("rate", [4000, 11025, 16000, 44100, 48000])
def test_other_rates_are_resampled_and_said(tmp_path, rate):
    wavfile.write(tmp_path / "x.wav", rate, tone(440, rate=rate, seconds=3).astype(np.float32))
    found, note = audio.read(tmp_path / "x.wav")
    assert f"resampled from {rate} to 8000 Hz" in note and "only the first second of 3.0 is heard" in note
    assert np.abs(found - tone(440))[100:].max() < 0.01  # but for the filter's start
    above = tone(6000, rate=48000).astype(np.float32)  # is filtered away, not folded to 2 kHz
    wavfile.write(tmp_path / "y.wav", 48000, above + tone(440, rate=48000).astype(np.float32))
    assert np.abs(audio.read(tmp_path / "y.wav")[0] - tone(440))[100:-100].max() < 0.02


def test_files_that_hold_no_speech_are_refused_in_one_line(tmp_path):
    path = tmp_path / "x.wav"

    def refused(message):
        with pytest.raises(InputError, match=message) as error:
            audio.read(path)
        assert "\n" not in str(error.value)

    refused("No such file or directory; give a WAV file")
    for content in (b"", b"hello", b"RIFF" + bytes(40)):
        path.write_bytes(content)
        refused("no WAV file that can be read")
    wavfile.write(path, 8000, np.zeros(0, np.int16))
    refused("no samples")
    for silent in (np.zeros(800, np.int16), np.full(8000, 1000, np.int16), np.full(8000, 127, np.uint8)):
        wavfile.write(path, 8000, silent)
        refused("silent")
    wavfile.write(path, 8000, np.full(8000, np.nan, np.float32))
    refused("not finite")
    wavfile.write(path, 100, np.int16(1000 * tone(5, rate=100)))
    refused("100 samples a second; give 1000 to 192000")
    path.unlink()
    path.mkdir()
    refused("Is a directory")
