"""Finite scalar quantisation: a bijection, its ranges and its gradient."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.quantizers import fsq

LEVELS = [(3,), (8, 6, 5), (8, 8, 4), (7, 5, 5, 5, 5), (4, 3)]
every_levels = pytest.mark.parametrize("levels", LEVELS, ids=lambda levels: "x".join(map(str, levels)))


def allowed(count):
    """The values of a channel of so many levels, as the paper's table has them."""
    return (np.arange(count) - count // 2) / (count // 2)


@every_levels
def test_codes_and_combinations_are_in_bijection(levels):
    codes = np.arange(np.prod(levels))
    found = np.asarray(fsq.combination(codes, levels))
    # Brute force: all combinations of the allowed values, the first channel the fastest.
    wanted = [row[::-1] for row in itertools.product(*map(allowed, levels[::-1]))]
    np.testing.assert_array_equal(found, np.float32(wanted))
    back = fsq.index(found, levels)
    assert back.dtype == jnp.int32
    np.testing.assert_array_equal(back, codes)


@every_levels
def test_rounding_reaches_all_codes_and_no_others(levels):
    wide = np.linspace(-12, 12, 4001, dtype=np.float32)
    for channel, count in enumerate(levels):
        z = np.zeros((len(wide), len(levels)), np.float32)
        z[:, channel] = wide
        found = np.asarray(fsq.rounded(z, levels))
        np.testing.assert_array_equal(np.unique(found[:, channel]), np.float32(allowed(count)))
        assert (np.diff(found[:, channel]) >= 0).all()
        np.testing.assert_array_equal(np.delete(found, channel, 1), 0.0)  # zero is a level, of even counts too
    ends = {"odd": (-1.0, 1.0), "even": (-1.0, 1.0 - 2 / levels[0])}["odd" if levels[0] % 2 else "even"]
    extremes = np.asarray(fsq.rounded(np.float32([[-1e4] * len(levels), [1e4] * len(levels)]), levels))[:, 0]
    np.testing.assert_allclose(extremes, ends, atol=1e-6)


@every_levels
def test_codes_are_read_back_as_themselves(levels):
    """Latents that round to a combination, rounded again from any point of its cell."""
    z = jax.random.normal(jax.random.key(0), (500, len(levels))) * 2
    once = fsq.rounded(z, levels)
    # atanh of the code, where tanh reaches it, is mapped to the same code.
    half = np.asarray(levels) // 2
    reach = (np.asarray(levels) - 1) * 1.001 / 2
    offset = np.where(np.asarray(levels) % 2, 0, 0.5)
    reached = np.clip((np.asarray(once) * half + offset) / reach, -0.9999, 0.9999)
    inner = np.arctanh(reached) - np.arctanh(offset / reach)
    np.testing.assert_array_equal(fsq.rounded(np.float32(inner), levels), once)
    np.testing.assert_array_equal(fsq.combination(fsq.index(once, levels), levels), once)


@every_levels
def test_gradient_is_that_of_the_bound(levels):
    """tanh' L' / floor(L / 2), as if nothing were rounded."""
    z = jax.random.normal(jax.random.key(1), (20, len(levels)))
    found = jax.grad(lambda z: fsq.rounded(z, levels).sum())(z)
    count = np.asarray(levels)
    reach, offset = (count - 1) * 1.001 / 2, np.where(count % 2, 0, 0.5)
    slope = (1 - np.tanh(np.asarray(z, np.float64) + np.arctanh(offset / reach)) ** 2) * reach / (count // 2)
    np.testing.assert_allclose(found, slope, rtol=2e-3, atol=1e-5)
