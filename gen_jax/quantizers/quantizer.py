"""What every quantiser is: the functions that a tokenizer calls, whatever its codes come from."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

PyTree = Any


class Quantized(NamedTuple):
    """A batch of grids, quantised while training.

    Attributes:
      latents: float32 [B, h, w, D], what the decoder reads; through it the encoder gets its gradient.
      codes: int32 [B, h, w].
      terms: what the quantiser adds to the loss, by name, one value an image [B], before any weight.
      sums: what `learn` needs of every grid, by name, added up over them: of several parts of a batch the sum is taken.
      examples: what it needs of some grids: of several parts the last one's are taken.
    """

    latents: jax.Array
    codes: jax.Array
    terms: Mapping[str, jax.Array] = {}
    sums: Mapping[str, jax.Array] = {}
    examples: PyTree = ()


class Quantizer(NamedTuple):
    """K codes, and the ways to and from them. `raw` is what an encoder says, always float32 [B, h, w, channels].

    The codebook is a dict of arrays that no gradient moves, {} for a quantiser that has none.
    """

    size: int  # K
    channels: int  # that the encoder says at each place
    # (codebook, raw, keys [B], temperature) -> Quantized: in training.
    quantize: Callable[..., Quantized]
    # (codebook, raw) -> int32 [B, h, w] in 0 .. K - 1.
    codes: Callable[..., jax.Array]
    # (codebook, codes) -> float32 [B, h, w, D], what the decoder reads.
    embed: Callable[..., jax.Array]
    # (key) -> codebook.
    init: Callable[..., PyTree] = lambda key: {}
    # (codebook, sums, examples, key) -> codebook, after an update of the networks.
    learn: Callable[..., PyTree] = lambda codebook, sums, examples, key: codebook
