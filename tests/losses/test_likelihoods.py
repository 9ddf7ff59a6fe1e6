"""Likelihoods against scipy, 60-digit decimals, and the axioms of probability."""

import decimal
from decimal import Decimal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from gen_jax.losses import likelihoods

RNG = np.random.default_rng(0)
LEVELS = jnp.arange(256)[:, None] / 255.0
discretized_logistic = jax.jit(likelihoods.discretized_logistic, static_argnames="levels")
mixture = jax.jit(likelihoods.discretized_logistic_mixture)
EXTREME_MEANS = [-1e4, -1.0, 0.0, 0.3, 0.5, 1.0, 2.0, 1e4]
EXTREME_LOG_SCALES = [-1e4, -30.0, -12.0, -7.0, -3.0, 0.0, 3.0, 30.0, 1e4]


def grid(shape):
    return RNG.integers(0, 256, size=shape) / 255.0


def f32(x):
    return jnp.asarray(x, jnp.float32)


def test_bernoulli_equals_scipy():
    x, logits = RNG.integers(0, 2, size=(6, 4, 4, 1)), RNG.normal(size=(6, 4, 4, 1)) * 4.0
    expected = scipy.stats.bernoulli.logpmf(x, scipy.special.expit(logits)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(likelihoods.bernoulli(f32(x), f32(logits)), expected, rtol=1e-5)


@pytest.mark.parametrize("pixels", [1, 7, 8, 9, 23])
def test_bernoulli_of_any_number_of_pixels(pixels):
    """Pixels are multiplied eight at a time; the derivatives, written down by hand, are those of log p."""
    x, logits = RNG.integers(0, 2, (4, pixels)), 5 * RNG.normal(size=(4, pixels))
    p = scipy.special.expit(logits)
    expected = scipy.stats.bernoulli.logpmf(x, p).sum(axis=1)
    value, slopes = jax.value_and_grad(lambda *of: likelihoods.bernoulli(*of).sum(), (0, 1))(f32(x), f32(logits))
    np.testing.assert_allclose(likelihoods.bernoulli(f32(x), f32(logits)), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(value, expected.sum(), rtol=1e-5)
    np.testing.assert_allclose(slopes[0], logits, rtol=1e-6)
    np.testing.assert_allclose(slopes[1], x - p, atol=1e-6)


def test_bernoulli_of_sure_logits():
    x, logits = f32([[0.0], [1.0], [0.0], [1.0]]), f32([[-1e4], [1e4], [1e4], [-1e4]])
    np.testing.assert_array_equal(likelihoods.bernoulli(x, logits), [0.0, 0.0, -1e4, -1e4])
    slope = jax.grad(lambda logits: likelihoods.bernoulli(x, logits).sum())(logits)
    np.testing.assert_array_equal(slope, [[0.0], [0.0], [-1.0], [1.0]])


@pytest.mark.parametrize("shape", [(3, 4, 2), (3, 1, 2), (2,), ()])
def test_gaussian_equals_scipy_and_broadcasts_its_scale(shape):
    x, mean, log_std = RNG.normal(size=(5, 3, 4, 2)), RNG.normal(size=(5, 3, 4, 2)), RNG.normal(size=shape)
    expected = scipy.stats.norm.logpdf(x, mean, np.exp(log_std)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(likelihoods.gaussian(f32(x), f32(mean), f32(log_std)), expected, rtol=1e-5)


def test_gaussian_with_plain_numbers_is_the_prior_of_latents():
    z = RNG.normal(size=(5, 7))
    expected = scipy.stats.norm.logpdf(z).sum(axis=1)
    np.testing.assert_allclose(likelihoods.gaussian(f32(z), 0.0, 0.0), expected, rtol=1e-5)


def logistic_oracle(x, mean, log_scale, levels=256):
    """Differences of cumulative distribution functions in float64, on the side where they are small."""
    half, scale = 0.5 / (levels - 1), np.exp(log_scale)
    upper = np.where(x > 1.0 - half, np.inf, x + half)
    lower = np.where(x < half, -np.inf, x - half)
    d = scipy.stats.logistic(mean, scale)
    return np.log(np.where(x < mean, d.cdf(upper) - d.cdf(lower), d.sf(lower) - d.sf(upper)))


@pytest.mark.parametrize("shape", [(3, 4, 2), (2,), ()])
def test_discretized_logistic_equals_scipy_and_broadcasts_its_scale(shape):
    x, mean = grid((5, 3, 4, 2)), RNG.uniform(-0.1, 1.1, size=(5, 3, 4, 2))
    x[0, 0, 0], x[1, 0, 0] = 0.0, 1.0
    log_scale = RNG.uniform(-4.5, 0.0, size=shape)
    expected = logistic_oracle(x, mean, log_scale).sum(axis=(1, 2, 3))
    actual = discretized_logistic(f32(x), f32(mean), f32(log_scale))
    np.testing.assert_allclose(actual, expected, rtol=2e-5)


@pytest.mark.parametrize("log_scale", [-9.0, -5.0, -2.0, 4.0, 12.0])
@pytest.mark.parametrize("mean", [-3.0, 0.25, 40.0])
def test_discretized_logistic_keeps_its_digits_in_the_tails(mean, log_scale):
    """Bins of mass down to exp(-3e5), or so narrow that their ends agree to all of float32's digits."""
    with decimal.localcontext(decimal.Context(prec=60, Emin=-(10**7), Emax=10**7)):
        one, half = Decimal(1), Decimal(1) / 510
        scale = Decimal(log_scale).exp()

        def log_mass(k):
            distance = Decimal(int(k)) / 255 - Decimal(mean)
            distance = -abs(distance)  # The density is symmetric: take the lower tail.
            ends = [((distance + sign * half) / scale).exp() for sign in (1, -1)]
            return float((ends[0] / (one + ends[0]) - ends[1] / (one + ends[1])).ln())

        levels = np.array([1, 63, 64, 65, 200, 254])
        expected = [log_mass(k) for k in levels]
    actual = discretized_logistic(LEVELS[levels], f32(mean), f32(log_scale))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_discretized_logistic_sums_to_one():
    # The ends of bins are among the means: there float32 ends k / 255 + 1 / 510 leave gaps at small scales.
    means = f32([*EXTREME_MEANS, *RNG.uniform(-0.5, 1.5, size=20), *(np.arange(20) * 12 + 0.5) / 255.0])
    mean, log_scale = (p.ravel() for p in jnp.meshgrid(means, f32(EXTREME_LOG_SCALES)))
    log_p = jax.jit(jax.vmap(lambda m, s: discretized_logistic(LEVELS, m, s)))(mean, log_scale)
    assert log_p.shape == (48 * 9, 256) and (log_p <= 0.0).all()
    np.testing.assert_allclose(np.exp(np.asarray(log_p, np.float64)).sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("levels", [2, 5, 32])
def test_discretized_logistic_sums_to_one_at_other_bit_depths(levels):
    x = jnp.arange(levels)[:, None] / (levels - 1.0)
    log_p = discretized_logistic(x, f32(0.4), f32(-1.5), levels=levels)
    np.testing.assert_allclose(jnp.exp(log_p).sum(), 1.0, atol=1e-6)
    np.testing.assert_allclose(log_p, logistic_oracle(np.asarray(x, float), 0.4, -1.5, levels)[:, 0], rtol=1e-5)


def test_mixture_equals_a_weighted_sum_of_components():
    x, shape = grid((5, 3, 2, 2)), (5, 3, 2, 2, 4)
    logits, means = RNG.normal(size=shape), RNG.uniform(size=shape)
    log_scales = RNG.uniform(-4.0, 0.0, size=shape)
    weights = scipy.special.softmax(logits, axis=-1)
    mass = (weights * np.exp(logistic_oracle(x[..., None], means, log_scales))).sum(axis=-1)
    actual = mixture(f32(x), f32(logits), f32(means), f32(log_scales))
    np.testing.assert_allclose(actual, np.log(mass).sum(axis=(1, 2, 3)), rtol=1e-5)


def test_mixture_of_one_or_of_equals_is_the_component():
    x, mean, log_scale = f32(grid((4, 3, 1))), f32(RNG.uniform(size=(4, 3, 1))), f32(-3.0)
    expected = discretized_logistic(x, mean, log_scale)
    for k in (1, 3):
        means = jnp.repeat(mean[..., None], k, axis=-1)
        logits = f32(RNG.normal(size=means.shape))
        actual = mixture(x, logits, means, log_scale)
        np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_mixture_sums_to_one():
    # The last axis of every parameter is K: three components, one of them a spike and one far outside.
    parameters = [jnp.broadcast_to(f32(p), (256, 1, 3)) for p in ([0.0, 2.0, -1.0], [0.5, 0.1, 7.0], [-2.0, -9.0, 0.0])]
    log_p = mixture(LEVELS, *parameters)
    np.testing.assert_allclose(jnp.exp(log_p).sum(), 1.0, atol=1e-5)


def test_mixture_and_its_gradients_are_finite_at_extremes():
    # [values, scales, K]: three components that disagree as much as they can.
    scales = f32(EXTREME_LOG_SCALES)[None, :, None]
    x = jnp.broadcast_to(LEVELS, (256, 9))
    arguments = f32([1e4, 0.0, -1e4]), f32([-1e4, 0.5, 1e4]), scales
    arguments = [jnp.broadcast_to(p, (256, 9, 3)) for p in arguments]

    def f(*arguments):
        log_p = jax.vmap(lambda x, *p: mixture(x[None], *(q[None] for q in p)))
        values = log_p(x.reshape(-1, 1), *(p.reshape(-1, 1, 3) for p in arguments))
        return values.sum(), values

    slopes, log_p = jax.jit(jax.grad(f, argnums=(0, 1, 2), has_aux=True))(*arguments)
    assert np.isfinite(log_p).all() and all(np.isfinite(s).all() for s in slopes)
