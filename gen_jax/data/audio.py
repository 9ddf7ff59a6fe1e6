"""Speech as numbers: WAV files and takes -> one second at 8 kHz -> its log-mel spectrogram.

The spectrogram has one row for each 10 ms and one column for each of 40 bands, equally wide in mel from 0 to 4 kHz:
log(1e-6 + F |DFT(hann * x)|^2), x in [-1, 1], F triangles of height 1 (see `filters`).
"""

import math
import warnings
from pathlib import Path

import numpy as np

from gen_jax.errors import InputError
from gen_jax.runtime.files import check_regular, reason

RATE = 8000  # samples a second
SAMPLES = RATE  # of a take: one second, the rest is cut, what lacks is silence
WINDOW = 256  # samples under the (periodic) Hann window, and the length of the DFT: 32 ms, bins 31.25 Hz apart
HOP = 80  # samples from a frame to the next: 10 ms
FRAMES = SAMPLES // HOP
BANDS = 40
FLOOR = 1e-6  # added to the power, which is 4096 at the bin of a sine of amplitude 1

RATES = range(1_000, 192_001)  # what a WAV file may have
SILENCE = 1e-4  # standard deviation in full scales: 3 steps of 16 bits


def mel(hertz):
    """The HTK form of the mel scale (O'Shaughnessy 1987): 2595 log10(1 + f / 700)."""
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def hertz(mel):
    """The frequency in Hz of a mel value."""
    return 700 * (10 ** (np.asarray(mel) / 2595) - 1)


def edges() -> np.ndarray:
    """float64 [BANDS + 2] in Hz: band b rises from edge b to edge b + 1, its centre, and falls to edge b + 2."""
    return hertz(np.linspace(0, mel(RATE / 2), BANDS + 2))


def filters() -> np.ndarray:
    """float64 [BANDS, WINDOW // 2 + 1]: how much of the power at each DFT bin belongs to each band.

    Triangles over frequency in Hz, of height 1, not normalised by their widths.
    """
    bins = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    low, centre, high = (edges()[start : start + BANDS, None] for start in range(3))
    return np.maximum(0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))


def log_mel(samples: np.ndarray) -> np.ndarray:
    """The spectrograms of takes.

    Frame t sees the samples [80 t, 80 t + 256); beyond the end of the take there is silence.

    Args:
      samples: float [..., SAMPLES] in [-1, 1] at 8 kHz.

    Returns:
      float32 [..., FRAMES, BANDS], at least log(1e-6) = -13.8.
    """
    beyond = [(0, 0)] * (samples.ndim - 1) + [(0, (FRAMES - 1) * HOP + WINDOW - SAMPLES)]
    padded = np.pad(np.asarray(samples, np.float64), beyond)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=-1)[..., ::HOP, :]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    power = np.abs(np.fft.rfft(frames * hann)) ** 2
    return np.log(FLOOR + power @ filters().T).astype(np.float32)


def log_mels(takes: list[np.ndarray]) -> np.ndarray:
    """float32 [len(takes), FRAMES, BANDS] of takes of any lengths, a few at a time: frames overlap threefold."""
    blocks = [np.stack([one_second(take) for take in takes[i : i + 64]]) for i in range(0, len(takes), 64)]
    return np.concatenate([log_mel(block) for block in blocks])


def one_second(samples: np.ndarray) -> np.ndarray:
    """[SAMPLES] of a take [n]: cut at the end, or filled up with silence."""
    return np.pad(samples[:SAMPLES], (0, max(0, SAMPLES - len(samples))))


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """Samples [n] at `rate` as samples at 8 kHz, by a polyphase filter."""
    if rate == RATE:
        return samples
    from scipy.signal import resample_poly  # here, since it takes half a second

    common = math.gcd(RATE, rate)
    return resample_poly(samples, RATE // common, rate // common)


def read(path: str | Path) -> tuple[np.ndarray, str]:
    """The first second of a WAV file: PCM of 8, 16, 24 or 32 bits or floats, channels averaged, at any usual rate.

    Returns:
      float64 [SAMPLES] in [-1, 1], and a note on what was done to it ("" for nothing), for the user.

    Raises:
      InputError: no such file, not a WAV file, without samples, silent; the caller says which file.
    """
    rate, samples = _wav(path)
    if samples.ndim == 2:
        samples = samples.mean(1)
    if not len(samples):
        raise InputError("no samples; record some speech")
    seconds = len(samples) / rate
    # Two seconds: the filter's edge lies beyond the first one.
    samples = one_second(resample(samples[: 2 * rate], rate))
    if not np.isfinite(samples).all():
        raise InputError("samples that are not finite; export it again as 16-bit PCM")
    if samples.std() < SILENCE:
        raise InputError("its first second is silent; record some speech, or cut the silence off")
    notes = [f"resampled from {rate} to {RATE} Hz"] * (rate != RATE)
    notes += [f"only the first second of {seconds:.1f} is heard"] * (seconds > 1)
    return samples, ", ".join(notes)


def _wav(path: str | Path) -> tuple[int, np.ndarray]:
    """(samples a second, float64 [n] or [n, channels] in [-1, 1])."""
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings(action="ignore"):  # of chunks that hold no sound, such as a title
            check_regular(Path(path))
            rate, samples = wavfile.read(path)
    except OSError as error:
        raise InputError(f"{reason(error)}; give a WAV file") from error
    except Exception as error:  # SciPy raises half a dozen types on bad bytes; each means the same here
        raise InputError("no WAV file that can be read; export it as 16-bit PCM") from error
    if rate not in RATES:
        raise InputError(f"{rate} samples a second; give {RATES[0]} to {RATES[-1]}")
    if samples.dtype == np.uint8:
        return rate, (samples - 128.0) / 128
    if samples.dtype.kind == "i":  # SciPy puts 24 bits at the upper end of 32
        return rate, samples / -float(np.iinfo(samples.dtype).min)
    return rate, samples.astype(np.float64)
