"""Images as a grid of tokens: their own pixels, or the codes of another run that encodes and decodes."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from gen_jax.data.dataset import Spec
from gen_jax.errors import InputError
from gen_jax.field import Field
from gen_jax.method import Source

FIELDS = {
    "model.levels": Field(0, "grey levels that are tokens; 0: as many as pixels have values", least=0, most=256),
    "model.exact": Field(False, "pixels have no value but the levels, 255 i / (levels - 1): none is shared out"),
    "source.run": Field("", "directory of a run whose codes are the tokens; empty: the pixels themselves"),
    "source.step": Field(0, "its checkpoint; 0: the latest", least=0),
}


class Codec(NamedTuple):
    """What a model of tokens sees of images [B, H, W, C] in [0, 1], and shows of tokens."""

    size: int  # how many tokens there are
    grid: tuple[int, int]  # of T = rows * columns, in raster order
    # (variables, images, condition) -> int32 [B, T].
    encode: Callable[..., Int[Array, "B T"]]
    # (variables, tokens, condition) -> images.
    decode: Callable[..., Float[Array, "B H W C"]]
    # (images, tokens) -> log p(image | tokens) [B] nats; None where nobody knows it.
    log_rest: Callable[..., Float[Array, " B"]] | None = None
    binary: bool = False  # whether what it shows is black and white


def make(config, spec: Spec, source: Source | None) -> Codec:
    """The Codec of a config: of its source run where it names one, else of the pixels.

    Raises:
      InputError: a source that has no codes, or has them for other images; colour images without a source; levels that
        pixels cannot have.
    """
    levels, name = config.model.levels, config.data.name
    if source is None:
        if spec.shape[-1] != 1:
            raise InputError(
                f"method={config.method}: {name} has colour images, whose pixels are no tokens; set source.run to a"
                " tokenizer's run, or data.channels=1"
            )
        most = 2 if spec.binary else 256
        if levels == 1 or levels > most:
            raise InputError(f"model.levels={levels}: pixels of {name} have {most} values; use 2 to {most}, or 0")
        values = np.array([0, 255]) if spec.binary else np.arange(256)
        return pixels(spec.shape, levels or most, level_values(levels or most) if config.model.exact else values)
    run = f"source.run={config.source.run}"
    if source.method.vocabulary is None or source.method.encode is None or source.method.decode is None:
        raise InputError(f"{run}: it is no tokenizer; train one: gen-jax train --config=vqvae_mnist")
    if source.spec.shape != spec.shape:
        here, there = ("x".join(map(str, shape)) for shape in (spec.shape, source.spec.shape))
        raise InputError(f"{run}: it encodes {there}, data.name={name} has {here}")
    if missing := [name for name in source.method.conditions if name not in config.model.condition]:
        raise InputError(f"{run}: it is asked by {', '.join(missing)}; add that to model.condition")
    if levels:
        raise InputError(f"model.levels={levels}: the tokens are codes of {run}; leave one of them out")
    return codes(source)


def pixels(shape: tuple[int, int, int], levels: int, values: np.ndarray) -> Codec:
    """A token a pixel of grey images: the nearest of `levels` equally spaced levels.

    An 8-bit value is taken for one of those that are nearest to its level, all of them equally likely: so the
    log-probability of an 8-bit image is exact for any number of levels, and bits/dim mean the same everywhere.

    Args:
      values: the 8-bit values that a pixel can have; an image that has another has the log-probability -inf.
    """
    height, width, _ = shape
    log_shares = shared_out(levels, values)

    def encode(variables, images, condition):
        return level_of(jnp.round(images * 255).astype(jnp.int32), levels).reshape(len(images), -1)

    def decode(variables, tokens, condition):
        return tokens.reshape(-1, height, width, 1) / jnp.float32(levels - 1)

    def log_rest(images, tokens):
        seen = jnp.round(images * 255).astype(jnp.int32)
        return jnp.asarray(log_shares, float)[seen].sum((1, 2, 3))

    return Codec(levels, (height, width), encode, decode, log_rest, binary=levels == 2)


def codes(source: Source) -> Codec:
    """The codes of another run, whose arrays stand in collections["frozen"]["source"]."""
    method, (size, grid) = source.method, source.method.vocabulary

    def encode(variables, images, condition):
        found = method.encode(variables.collections["frozen"]["source"], images, own(condition))
        return jax.lax.stop_gradient(found.reshape(len(images), -1))

    def decode(variables, tokens, condition):
        found = tokens.reshape(-1, *grid)
        return method.decode(variables.collections["frozen"]["source"], found, own(condition))

    def own(condition):
        """What the tokenizer itself is asked by."""
        return {name: condition[name] for name in method.conditions}

    return Codec(size, grid, encode, decode)


def kept(mask: Float[Array, "B H W 1"], grid: tuple[int, int]) -> Bool[Array, "B T"]:
    """Which tokens a mask keeps: those of whose pixels it keeps all."""
    count, height, width, _ = mask.shape
    rows, columns = grid
    patches = mask.reshape(count, rows, height // rows, columns, width // columns)
    return patches.min((2, 4)).reshape(count, -1) > 0


def shared_out(levels: int, values: np.ndarray) -> np.ndarray:
    """log p(value | its level) [256]: one over how many of `values` have its level; -inf of a value not among them."""
    among = np.isin(np.arange(256), values)
    count = np.bincount(level_of(values, levels), minlength=levels)[level_of(np.arange(256), levels)]
    return np.where(among, -np.log(np.maximum(count, 1)), -np.inf)


def level_values(levels: int) -> np.ndarray:
    """The 8-bit values that the levels themselves have."""
    return np.round(np.arange(levels) * 255 / (levels - 1)).astype(int)


def level_of(values, levels: int):
    """The nearest of `levels` equally spaced levels, 0 to levels - 1, of 8-bit values (integers, any shape)."""
    return (2 * values * (levels - 1) + 255) // 510
