"""What an image can be asked for by: its class, a caption, speech, another image.

A set says what it has in `Spec.conditions` (name -> Condition); a batch carries the values under the same names,
`batch["condition"] = {"label": int32 [B], "text": int32 [B, L], ...}`; a model says in `model.condition` which of
them its networks see.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import randomness
from gen_jax.data import audio
from gen_jax.data.decode import of_file
from gen_jax.data.resize import resize
from gen_jax.data.text import Words
from gen_jax.errors import InputError

KINDS = ("label", "tokens", "audio", "image", "mask")


class Condition(NamedTuple):
    """One thing that images can be asked for by.

    Attributes:
      kind: "label" int32 [], "tokens" int32 [L] (see text.py), "audio" float32 [frames, bands] (see audio.py), "image"
        or "mask" [H, W, C]: uint8 on the host, float32 in [0, 1] where a model sees it.
      shape: of one example.
      size: how many classes, words or bytes there are; 0 where the values are real numbers.
      names: of the classes or words; empty where they have none, as bytes have.
    """

    kind: str
    shape: tuple[int, ...] = ()
    size: int = 0
    names: tuple[str, ...] = ()


Conditions = Mapping[str, Condition]


def zeros(conditions: Conditions, rows: int) -> dict[str, jax.Array]:
    """One value of the right shape and type for each of `rows` images: what networks are initialised with."""
    kinds = {"label": jnp.int32, "tokens": jnp.int32}
    return {name: jnp.zeros((rows, *c.shape), kinds.get(c.kind, jnp.float32)) for name, c in conditions.items()}


def chosen(conditions: Conditions, batch: Mapping) -> dict[str, jax.Array]:
    """The values in a batch of these conditions; {} for an unconditional model."""
    return {name: batch["condition"][name] for name in conditions}


def by_seed(conditions: Conditions, keys: jax.Array) -> dict[str, jax.Array]:
    """The conditions that a seed alone decides: a class, drawn uniformly for each of `keys` [B].

    Raises:
      InputError: of another kind, which nobody can draw; it must be given, or come from an example.
    """
    asked = [name for name, condition in conditions.items() if condition.kind != "label"]
    if asked:
        raise InputError(f"give what the images are asked for by: {', '.join(f'--condition.{n}=...' for n in asked)}")
    return {name: randomness.classes(keys, condition.size) for name, condition in conditions.items()}


def repeated(name: str, condition: Condition, value, count: int) -> np.ndarray:
    """One value an image [count, ...] of what was given: so many values, or one for all.

    Raises:
      InputError: of another shape, or a class that there is not.
    """
    value = np.asarray(value, np.int32 if condition.kind in ("label", "tokens") else None)
    if value.shape == condition.shape:
        value = np.broadcast_to(value, (count, *value.shape))
    if value.shape != (count, *condition.shape):
        raise InputError(f"condition {name} has shape {value.shape}: expected {(count, *condition.shape)}")
    if condition.kind in ("label", "tokens") and not (value.min() >= 0 and value.max() < condition.size):
        what = "classes" if condition.kind == "label" else "tokens"
        raise InputError(f"condition {name}: its {what} are 0 to {condition.size - 1}")
    return value


def parse(name: str, condition: Condition, text: str) -> np.ndarray:
    """The value, of `condition.shape`, that the text of the flag --condition.NAME means.

    A label is a class's name or its number; tokens are a caption; audio is the path of a WAV file, whose first second
    is heard; an image or a mask is the path of an image file, cut and scaled to the size of those the model knows.

    Returns:
      int32 [] or [L], float32 [frames, bands] or uint8 [H, W, C].

    Raises:
      InputError: no such class, a word that the model never read, a caption that is too long, a file that is missing
        or holds something else.
    """
    read = {"label": _label, "tokens": _caption, "audio": _take}.get(condition.kind, _picture)
    try:
        return read(condition, text)
    except InputError as error:
        raise InputError(f"--condition.{name}={text}: {error}") from error


def note(condition: Condition, text: str) -> str:
    """What `parse` did to a file and its user should know: resampled, cut. "" for nothing."""
    return audio.read(text)[1] if condition.kind == "audio" else ""


def describe(condition: Condition, value: np.ndarray) -> str:
    """A few words for the value, to stand under a picture: the class's name, the caption, "speech", "image", "mask"."""
    if condition.kind == "label":
        return condition.names[int(value)] if condition.names else str(int(value))
    if condition.kind == "tokens":
        return _words(condition).decode(value)
    return "speech" if condition.kind == "audio" else condition.kind


def picture(condition: Condition, value: np.ndarray) -> np.ndarray | None:
    """The value as pixels, uint8 [h, w, c], None where it has no looks.

    Of speech it is the spectrogram in grey, from the least to the greatest of its values: time to the right, low
    frequencies at the bottom.
    """
    if condition.kind in ("image", "mask"):
        return np.asarray(value)
    if condition.kind != "audio":
        return None
    upright = np.asarray(value, np.float64).T[::-1]
    spread = np.ptp(upright)
    return np.rint((upright - upright.min()) / (spread or 1) * 255).astype(np.uint8)[:, :, None]


def _label(condition: Condition, text: str) -> np.ndarray:
    if text in condition.names:
        return np.int32(condition.names.index(text))
    if text.isdecimal() and int(text) < condition.size:
        return np.int32(text)
    names = "" if condition.names == tuple(map(str, range(condition.size))) else f" ({', '.join(condition.names[:12])})"
    raise InputError(f"its classes are 0 to {condition.size - 1}{names}")


def _words(condition: Condition) -> Words:
    return Words(*condition.shape, condition.names)


def _caption(condition: Condition, text: str) -> np.ndarray:
    return _words(condition).encode([text])[0]


def _take(condition: Condition, text: str) -> np.ndarray:
    return audio.log_mel(audio.read(text)[0])


def _picture(condition: Condition, text: str) -> np.ndarray:
    image = of_file(Path(text))
    if image.max() == 1:  # black and white, as a set of such images is read
        image = image * np.uint8(255)
    return resize(image, image_size=condition.shape[:2], channels=condition.shape[2])
