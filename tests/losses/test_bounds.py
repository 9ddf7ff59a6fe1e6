"""Bounds where the evidence is known: z ~ N(0, 1), x | z ~ N(a z, s^2), so x ~ N(0, a^2 + s^2)."""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from gen_jax.losses import bounds, divergences, likelihoods

A, S = 1.5, 0.6
X = jnp.array([[-2.0], [0.1], [0.9], [3.0]])
EVIDENCE = scipy.stats.norm.logpdf(np.asarray(X)[:, 0], 0.0, np.sqrt(A**2 + S**2))
POSTERIOR = (A * X / (A**2 + S**2), jnp.full((4, 1), 0.5 * np.log(S**2 / (A**2 + S**2))))


@partial(jax.jit, static_argnames="k")
def log_weights(proposal, k, x=X):
    mean, log_std = proposal
    z = mean + jnp.exp(log_std) * jax.random.normal(jax.random.key(0), (k, *mean.shape))

    def weight(z):
        log_p = likelihoods.gaussian(x, A * z, float(np.log(S))) + likelihoods.gaussian(z, 0.0, 0.0)
        return log_p - likelihoods.gaussian(z, mean, log_std)

    return jax.vmap(weight)(z)


def test_importance_weighting_with_the_exact_posterior_is_exact_for_any_number_of_samples():
    weights = log_weights(POSTERIOR, 50)
    for k in (1, 2, 50):
        estimate = bounds.importance_weighted(weights[:k])
        assert estimate.shape == (4,)
        np.testing.assert_allclose(estimate, EVIDENCE, rtol=1e-5)


# 5,000 independent repetitions of one x, and a proposal that is too wide.
REPEATED = jnp.full((5_000, 1), 0.9)
WIDE = jnp.full((5_000, 1), 0.2), jnp.full((5_000, 1), 0.1)


def standard_error(values):
    return float(values.std()) / np.sqrt(values.size)


def test_importance_weighting_rises_to_the_evidence_with_the_number_of_samples():
    weights = log_weights(WIDE, 64, x=REPEATED)
    estimates = [bounds.importance_weighted(weights[:k]) for k in (1, 8, 64)]
    for fewer, more in pairwise(estimates):
        assert float(more.mean() - fewer.mean()) > 3.0 * standard_error(more - fewer)
    assert -0.05 < float(estimates[-1].mean()) - EVIDENCE[2] < 0.0
    # All samples pooled into a single estimate.
    np.testing.assert_allclose(bounds.importance_weighted(weights.reshape(-1, 1)), EVIDENCE[2], atol=0.01)


def expected_log_likelihood(mean, log_std):
    """E_q log N(x; a z, s^2) in closed form."""
    return likelihoods.gaussian(X, A * mean, float(np.log(S))) - 0.5 * (A * jnp.exp(log_std[:, 0]) / S) ** 2


def test_elbo_is_the_evidence_at_the_posterior_and_below_it_elsewhere():
    for shift, tight in [(0.0, True), (0.3, False), (-1.0, False)]:
        mean, log_std = POSTERIOR[0] + shift, POSTERIOR[1] + shift
        kl = divergences.gaussian_kl(mean, log_std).sum(axis=-1)
        bound = bounds.elbo(expected_log_likelihood(mean, log_std), kl)
        assert bound.shape == (4,)
        if tight:
            np.testing.assert_allclose(bound, EVIDENCE, rtol=1e-5)
        else:
            # The gap is KL(q || posterior).
            gap = divergences.gaussian_kl(mean, log_std, POSTERIOR)[:, 0]
            np.testing.assert_allclose(EVIDENCE - bound, gap, rtol=1e-3)
            assert (bound < EVIDENCE).all()


def test_one_importance_sample_is_the_elbo_in_expectation():
    # A proposal far from the prior (1.7 nats), so that the KL term counts.
    proposal = jnp.full((5_000, 1), 1.5), jnp.full((5_000, 1), -1.0)
    sampled = bounds.importance_weighted(log_weights(proposal, 64, x=REPEATED)[:1])
    mean, log_std = (p[:4] for p in proposal)
    exact = bounds.elbo(expected_log_likelihood(mean, log_std), divergences.gaussian_kl(mean, log_std)[:, 0])[2]
    assert abs(float(sampled.mean() - exact)) < 5.0 * standard_error(sampled)


def test_beta_weighs_the_kl_term_and_may_be_traced():
    log_likelihood, kl = jnp.array([-3.0, -1.0]), jnp.array([2.0, 0.5])
    np.testing.assert_allclose(jax.jit(bounds.elbo)(log_likelihood, kl, jnp.float32(0.5)), [-4.0, -1.25])
    np.testing.assert_allclose(bounds.elbo(log_likelihood, kl, 4.0), [-11.0, -3.0])


def test_importance_weighting_neither_overflows_nor_underflows():
    log_weights = jnp.array([[-1e4, 1e4], [-1e4 + 1.0, 1e4]])
    value, vjp = jax.vjp(bounds.importance_weighted, log_weights)
    np.testing.assert_allclose(value, [-1e4 + np.log((1.0 + np.e) / 2.0), 1e4], rtol=1e-7)
    # The gradient is the normalised weight of each sample (Burda et al. 2016, eq. 14).
    (slope,) = vjp(jnp.ones(2))
    np.testing.assert_allclose(slope, [[1 / (1 + np.e), 0.5], [np.e / (1 + np.e), 0.5]], rtol=1e-5)


def test_bits_per_dimension_of_uniform_pixels_is_their_bit_depth():
    nats = 32 * 32 * 3 * np.log(256.0)
    np.testing.assert_allclose(bounds.bits_per_dimension(jnp.array([nats, -nats]), 32 * 32 * 3), [8.0, -8.0], rtol=1e-6)
