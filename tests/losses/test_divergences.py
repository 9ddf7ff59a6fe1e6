"""The Gaussian KL against numerical integration and its axioms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from gen_jax.losses import divergences, likelihoods

RNG = np.random.default_rng(0)


def f32(x):
    return jnp.asarray(x, jnp.float32)


def test_zero_at_equality_to_the_bit():
    mean, log_std = f32(RNG.normal(size=(4, 3))), f32(3.0 * RNG.normal(size=(4, 3)))
    np.testing.assert_array_equal(divergences.gaussian_kl(mean, log_std, (mean, log_std)), 0.0)
    np.testing.assert_array_equal(divergences.gaussian_kl(jnp.zeros((4, 3)), jnp.zeros((4, 3))), 0.0)


@pytest.mark.parametrize(("m", "s", "n", "t"), [(0.3, 0.5, 0.0, 1.0), (-2.0, 1.7, 1.0, 0.8), (0.0, 0.05, 0.1, 2.0)])
def test_equals_numerical_integration(m, s, n, t):
    q, p = scipy.stats.norm(m, s), scipy.stats.norm(n, t)
    expected, _ = scipy.integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), m - 12 * s, m + 12 * s)
    prior = None if (n, t) == (0.0, 1.0) else (n, float(np.log(t)))
    actual = divergences.gaussian_kl(f32([[m]]), f32([[np.log(s)]]), prior)
    np.testing.assert_allclose(actual, [[expected]], rtol=1e-5)


def test_default_prior_is_the_standard_normal():
    mean, log_std = f32(RNG.normal(size=(4, 3))), f32(RNG.normal(size=(4, 3)))
    expected = divergences.gaussian_kl(mean, log_std, (jnp.zeros((4, 3)), jnp.zeros((4, 3))))
    np.testing.assert_allclose(divergences.gaussian_kl(mean, log_std), expected, rtol=1e-6)


def test_is_the_expected_difference_of_log_densities():
    mean, log_std = f32([[0.5, -1.0, 0.0]]), f32([[-1.0, 0.3, -0.2]])
    prior = f32([[0.0, 0.4, -0.5]]), f32([[0.2, 0.5, -0.7]])
    z = mean + jnp.exp(log_std) * jax.random.normal(jax.random.key(0), (100_000, 3))
    sampled = likelihoods.gaussian(z, mean, log_std) - likelihoods.gaussian(z, *prior)
    exact = divergences.gaussian_kl(mean, log_std, prior).sum()
    assert abs(float(sampled.mean() - exact)) < 5.0 * float(sampled.std()) / np.sqrt(1e5)


def test_never_negative_and_keeps_the_shape():
    mean, log_std = f32(0.01 * RNG.normal(size=(64, 4, 4, 8))), f32(0.01 * RNG.normal(size=(64, 4, 4, 8)))
    kl = divergences.gaussian_kl(mean, log_std)
    assert kl.shape == (64, 4, 4, 8)
    assert kl.min() > -1e-7
