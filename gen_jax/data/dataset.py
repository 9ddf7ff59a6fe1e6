"""Dataset: images as a pure function of the position in an endless, seeded order.

The global batch at a position depends on (data.seed, position) alone; a process only chooses which
rows of it to read. So saving `step` saves the iterator, and any number of processes reads the
same order.
"""

import math
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.data import condition
from gen_jax.data.condition import Condition


class Spec(NamedTuple):
    """What a model must know of its data."""

    shape: tuple[int, int, int]  # height, width, channels
    size: int  # images in this split
    conditions: Mapping[str, Condition] = {}  # what each image can be asked for by: its "label", its "text", ...
    binary: bool = False  # every pixel is 0 or 255 after `transform`

    @property
    def classes(self) -> int:
        """How many classes there are; 0: no labels."""
        return self.conditions["label"].size if "label" in self.conditions else 0

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.conditions["label"].names if "label" in self.conditions else ()

    @property
    def classes_line(self) -> str:
        """How many classes there are and their names, in at most a hundred characters."""
        if not self.classes:
            return "no classes"
        return textwrap.shorten(f"{self.classes} classes: {', '.join(self.class_names)}", 100, placeholder=" ...")

    def example(self, rows: int = 2) -> dict:
        """A batch of zeros of the right shapes and types, as a step sees it: what `init` is traced with."""
        image = jnp.zeros((rows, *self.shape))
        return {"image": image, "row": jnp.arange(rows), "condition": condition.zeros(self.conditions, rows)}

    def to_json(self) -> dict:
        """As plain dicts and lists, for a run's data.json."""
        return {**self._asdict(), "conditions": {name: c._asdict() for name, c in self.conditions.items()}}


def spec_from_json(values: Mapping) -> Spec:
    """The Spec that `Spec.to_json` wrote.

    Raises:
      ValueError: something in it is none: of another type, or of a size that no image has.
    """
    _shape("shape", values["shape"], 3)
    _whole("size", values["size"], 1, 2**48)
    for name, about in values["conditions"].items():
        if about["kind"] not in condition.KINDS:
            raise ValueError(f"conditions.{name}.kind={about['kind']!r:.40} is none")
        _shape(f"conditions.{name}.shape", about["shape"])
        _whole(f"conditions.{name}.size", about["size"], 0, 2**31 - 1)
        if not all(isinstance(word, str) for word in about["names"]):
            raise ValueError(f"conditions.{name}.names: not all are words")
    if not isinstance(values["binary"], bool):
        raise ValueError(f"binary={values['binary']!r:.40} is neither true nor false")
    plain = lambda fields: {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    conditions = {name: Condition(**plain(c)) for name, c in values["conditions"].items()}
    return Spec(**{**plain(values), "conditions": conditions})


def _whole(name: str, value, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name}={value!r:.40} is no number from {least} to {most}")


def _shape(name: str, value, axes: int | None = None) -> None:
    if not isinstance(value, list) or axes not in (None, len(value)):
        raise ValueError(f"{name}={value!r:.40} is no shape")
    for size in value:
        _whole(name, size, 1, 2**16)
    if math.prod(value) > 2**30:
        raise ValueError(f"{name}={value}: an image of that size is beyond any memory")


def floats(tree):
    """A pytree with its uint8 leaves, which are images, as float32 in [0, 1]."""
    return jax.tree.map(lambda x: x.astype(jnp.float32) / 255.0 if x.dtype == jnp.uint8 else x, tree)


class Dataset(NamedTuple):
    """One split of a set of images.

    A host batch is a dict of NumPy arrays with leading axis rows: `image` uint8 [B, H, W, C],
    `index` int32 [B] (identity in the set), `row` int32 [B] (position in the global batch), and
    `condition` {"label": int32 [B]} where the set has labels.
    """

    name: str
    split: str
    seed: int  # data.seed: of the order, and of `transform`
    spec: Spec
    # () -> hex sha256 of what the set holds: decoded pixels and labels, or files and sizes if not resident.
    fingerprint: Callable[[], str]
    # () -> float32 [H, W, C] in [0, 1], the mean image (of at most 10,000 evenly spaced images).
    mean: Callable[[], np.ndarray]
    # (position, rows) -> int32 [len(rows)], which images stand there.
    indices: Callable[[int, np.ndarray], np.ndarray]
    # (indices) -> {"image": ..., "condition": {"label": ...}}.
    gather: Callable[[np.ndarray], Mapping]
    # All images, decoded, {"image": uint8 [N, H, W, C], "condition": {...}}; None where too large.
    resident: Mapping | None
    # (batch, key, seed) -> batch: random choices (flip, binarisation), keyed by row; runs under jit.
    transform: Callable[[Mapping, jax.Array, int | jax.Array], Mapping]
    # Images of both splits that were left out, and why each.
    skipped: Mapping[str, str] = {}

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a run says of its data at its start: its classes, and what was left out."""
        left_out = (f"{len(self.skipped)} broken images are left out; data.json names them",) if self.skipped else ()
        return (self.spec.classes_line, *left_out)

    def batch(self, position: int, rows: np.ndarray) -> dict:
        """The given rows of the global batch at `position`, on the host, before `transform`."""
        index = self.indices(position, rows)
        return {**self.gather(index), "index": index, "row": np.asarray(rows, np.int32)}

    def sequential(self, batch_size: int) -> Iterator[dict]:
        """Every image once, in order, in batches of one shape; `mask` [B] is 0 on padding."""
        for start in range(0, self.spec.size, batch_size):
            index = np.arange(start, start + batch_size, dtype=np.int32)
            mask = (index < self.spec.size).astype(np.float32)
            index = np.minimum(index, self.spec.size - 1)
            row = np.arange(batch_size, dtype=np.int32)
            yield {**self.gather(index), "index": index, "row": row, "mask": mask}


def seen(dataset: Dataset, batch: Mapping, key: jax.Array) -> dict:
    """A host batch as a model sees it (mirrored, binarised), uint8, on the host.

    Random choices are keyed by the index in the set, so they do not depend on what an image is fetched beside.
    """
    return jax.device_get(dataset.transform({**batch, "row": batch["index"]}, key, dataset.seed))
