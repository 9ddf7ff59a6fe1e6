"""Drawing tokens: what guidance, top-k and top-p make of a distribution, and that it is drawn from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import decoding
from gen_jax.testing import check_sampler

LOGITS = jnp.log(jnp.array([0.4, 0.3, 0.15, 0.1, 0.05]))


def test_guidance_of_one_is_the_condition_and_of_none_is_none():
    asked, free = jax.random.normal(jax.random.key(0), (2, 3, 5))
    np.testing.assert_allclose(decoding.guided(asked, free, 1), asked, atol=1e-6)
    np.testing.assert_array_equal(decoding.guided(asked, free, 0), free)
    np.testing.assert_allclose(decoding.guided(asked, asked, 7.0), asked, atol=1e-6)
    shift = jnp.array([[1.0], [-2.0], [3.0]])  # what is added to all logits of a row changes no probability
    one, other = (jax.nn.softmax(decoding.guided(a, free, 3.0)) for a in (asked, asked + shift))
    np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("top_k, top_p, kept", [
    (0, 1.0, 5), (1, 1.0, 1), (2, 1.0, 2), (5, 1.0, 5), (9, 1.0, 5),
    (0, 0.39, 1), (0, 0.41, 2), (0, 0.71, 3), (0, 0.86, 4), (0, 0.0, 1), (3, 0.5, 2),
])  # fmt: skip
def test_what_is_kept(top_k, top_p, kept):
    shuffled = jnp.array([3, 0, 4, 1, 2])
    found = decoding.cut(LOGITS[shuffled][None], top_k, top_p)[0]
    assert set(np.flatnonzero(np.isfinite(found))) == {int(np.flatnonzero(shuffled == n)[0]) for n in range(kept)}
    np.testing.assert_array_equal(found[jnp.isfinite(found)], LOGITS[shuffled][jnp.isfinite(found)])


def test_as_likely_as_the_last_stays_too():
    assert jnp.isfinite(decoding.cut(jnp.zeros((1, 4)), top_k=2)).all()


@pytest.mark.parametrize("how", [{}, {"temperature": 0.5}, {"top_k": 3}, {"top_p": 0.8, "temperature": 2.0}])
def test_drawn_from_the_distribution(how):
    how = {"temperature": 1.0, **how}
    p = np.exp(np.asarray(LOGITS, np.float64)) ** (1 / how["temperature"])
    p /= p.sum()
    if "top_k" in how:
        p[3:] = 0
    if "top_p" in how:
        p[np.cumsum(p) - p >= 0.8] = 0
    log_p = np.log(np.maximum(p / p.sum(), 1e-300))

    def sample(key, count):
        return decoding.draw(jax.random.split(key, count), jnp.tile(LOGITS, (count, 1)), **how)

    check_sampler(lambda tokens: jnp.asarray(log_p)[tokens], sample, support=jnp.arange(5))


def test_cold_is_the_likeliest():
    keys = jax.random.split(jax.random.key(0), 100)
    assert (decoding.draw(keys, jnp.tile(LOGITS, (100, 1)), jnp.float32(0)) == 0).all()


def test_rare_tokens_are_drawn_as_often_as_they_are():
    """A share of 1e-6: float32 Gumbel noise of the usual kind would have trouble below that."""
    logits = jnp.array([[0.0, np.log(1e-5)]])
    keys = jax.random.split(jax.random.key(0), 2_000_000)
    found = jax.jit(lambda keys: decoding.draw(keys, jnp.broadcast_to(logits, (len(keys), 2)), 1.0).sum())(keys)
    assert 5 < found < 45  # 20 expected


def test_log_likelihood():
    logits = jax.random.normal(jax.random.key(0), (2, 3, 4))
    tokens = jnp.array([[0, 1, 2], [3, 3, 0]])
    want = np.log(np.asarray(jax.nn.softmax(logits)))[np.arange(2)[:, None], np.arange(3), tokens]
    np.testing.assert_allclose(decoding.log_likelihood(logits, tokens), want, rtol=1e-5)
