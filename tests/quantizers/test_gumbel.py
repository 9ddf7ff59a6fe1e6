"""The relaxed categorical: its KL, its limits, and that it draws what the logits say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax import randomness
from gen_jax.quantizers import gumbel

K = 7


def test_kl_is_log_k_minus_the_entropy():
    logits = jax.random.normal(jax.random.key(0), (50, 3, K)) * jnp.logspace(-3, 3, 50)[:, None, None]
    found = np.asarray(gumbel.kl_to_uniform(logits))
    entropy = stats.entropy(np.asarray(jax.nn.softmax(np.asarray(logits, np.float64), -1)), axis=-1)
    np.testing.assert_allclose(found, np.log(K) - entropy, atol=2e-6)
    assert found.min() > -1e-6 and found.max() < np.log(K) + 1e-6
    assert float(gumbel.kl_to_uniform(jnp.zeros(K))) == pytest.approx(0.0, abs=1e-6)
    sure = jnp.zeros(K).at[2].set(1e4)
    assert float(gumbel.kl_to_uniform(sure)) == pytest.approx(np.log(K), abs=1e-6)
    assert np.isfinite(jax.grad(lambda x: gumbel.kl_to_uniform(x))(sure)).all()


def test_relaxed_sample_becomes_a_corner_as_the_temperature_falls():
    logits, noise = jax.random.normal(jax.random.key(0), (2, 100, K))
    away = lambda t: float((1 - gumbel.relaxed(logits, noise, t).max(-1)).mean())
    values = [away(t) for t in (3.0, 1.0, 0.3, 0.1, 1e-3)]
    assert values == sorted(values, reverse=True) and values[-1] < 1e-3
    corner = jax.nn.one_hot((logits + noise).argmax(-1), K)
    np.testing.assert_allclose(gumbel.relaxed(logits, noise, 1e-5), corner, atol=1e-5)
    np.testing.assert_allclose(gumbel.relaxed(logits, noise, 1.0).sum(-1), 1.0, atol=1e-6)


def test_corner_of_a_relaxed_sample_is_drawn_as_the_logits_say():
    shares = np.array([0.5, 0.2, 0.1, 0.1, 0.05, 0.03, 0.02])
    logits = jnp.log(jnp.array(shares))
    raw = jnp.broadcast_to(logits, (200, 10, 10, K))
    keys = randomness.row_keys(jax.random.key(3), jnp.arange(200))
    latents = gumbel.quantizer(K).quantize({}, raw, keys, 0.1).latents
    drawn = np.bincount(np.asarray(latents.argmax(-1)).ravel(), minlength=K)
    assert stats.chisquare(drawn, shares * 20_000).pvalue > 0.001


def test_codes_are_the_likeliest_and_are_embedded_as_corners():
    quantizer = gumbel.quantizer(K)
    raw = jax.random.normal(jax.random.key(0), (2, 3, 3, K))
    codes = quantizer.codes({}, raw)
    assert codes.dtype == jnp.int32 and codes.shape == (2, 3, 3)
    np.testing.assert_array_equal(codes, np.asarray(raw).argmax(-1))
    np.testing.assert_array_equal(quantizer.embed({}, codes), np.eye(K)[np.asarray(codes)])
    keys = randomness.row_keys(jax.random.key(0), jnp.arange(2))
    terms = quantizer.quantize({}, raw, keys, 1.0).terms
    np.testing.assert_allclose(terms["kl"], gumbel.kl_to_uniform(raw).sum((1, 2)))


def test_noise_of_an_image_is_keyed_by_its_row():
    raw = jnp.zeros((4, 2, 2, K))
    rows = jnp.array([3, 1, 0, 2])
    draw = lambda rows: gumbel.quantizer(K).quantize({}, raw, randomness.row_keys(jax.random.key(5), rows), 1.0).latents
    np.testing.assert_array_equal(draw(rows), draw(jnp.arange(4))[rows])
