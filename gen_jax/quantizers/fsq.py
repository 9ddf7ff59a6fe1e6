"""Finite scalar quantisation (Mentzer et al. 2023): each channel is rounded to one of a few levels.

    f(z) = L' tanh(z + s) - o,   z_q = round(f(z)) / floor(L / 2),   gradient as if nothing were rounded

with L' just above (L - 1) / 2, so that round reaches L whole numbers, and for an even L the offset o = 1/2 between
them, s = artanh(o / L') so that f(0) = 0 there too. The codes are the grid of all combinations, K = prod L: nothing
to learn, no term in the loss. An even L is not symmetric: 8 levels are -1, -3/4, ... 3/4.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from gen_jax.quantizers.quantizer import Quantized, Quantizer

_MARGIN = 1e-3  # of L' above (L - 1) / 2: tanh comes near 1 and never reaches it


def bounded(z: Float[Array, "*any d"], levels: tuple[int, ...]) -> Float[Array, "*any d"]:
    """f(z), of which the whole numbers -floor(L / 2) ... ceil(L / 2) - 1 are the nearest; >= 3 levels a channel."""
    levels = np.asarray(levels)
    reach = (levels - 1) * (1 + _MARGIN) / 2
    offset = np.where(levels % 2, 0.0, 0.5)
    shift = np.arctanh(offset / reach)
    return jnp.tanh(z + shift.astype(np.float32)) * reach.astype(np.float32) - offset.astype(np.float32)


def rounded(z: Float[Array, "*any d"], levels: tuple[int, ...]) -> Float[Array, "*any d"]:
    """z_q, in [-1, 1], with the gradient of f(z) / floor(L / 2)."""
    f = bounded(z, levels)
    return (f + jax.lax.stop_gradient(jnp.round(f) - f)) / (np.asarray(levels) // 2)


def index(latents: Float[Array, "*any d"], levels: tuple[int, ...]) -> Int[Array, "*any"]:
    """The number of a combination of levels, 0 ... K - 1: the levels are its digits, the first the lowest."""
    digits = jnp.round(latents * (np.asarray(levels) // 2)).astype(jnp.int32) + np.asarray(levels) // 2
    return (digits * _basis(levels)).sum(-1, dtype=jnp.int32)


def combination(codes: Int[Array, "*any"], levels: tuple[int, ...]) -> Float[Array, "*any d"]:
    """The combination of levels of this number: the inverse of `index`."""
    half = np.asarray(levels) // 2
    digits = codes[..., None] // _basis(levels) % np.asarray(levels)
    return (digits - half).astype(jnp.float32) / half.astype(np.float32)


def _basis(levels):
    """What each digit counts: 1, L_1, L_1 L_2, ..."""
    return np.cumprod([1, *levels[:-1]], dtype=np.int32)


def quantizer(levels: tuple[int, ...]) -> Quantizer:
    """The quantiser of K = prod(levels) codes, one channel for each entry."""

    def quantize(codebook, raw, keys, temperature):
        latents = rounded(raw, levels)
        return Quantized(latents, index(latents, levels))

    return Quantizer(
        size=math.prod(levels),
        channels=len(levels),
        quantize=quantize,
        codes=lambda codebook, raw: index(rounded(raw, levels), levels),
        embed=lambda codebook, codes: combination(codes, levels),
    )
