"""Vector quantisation: nearest codes, whose gradient goes where, and the codebook that no gradient moves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.quantizers import vq

K, D = 11, 4


@pytest.fixture
def z():
    return jax.random.normal(jax.random.key(0), (3, 5, 5, D))


@pytest.fixture
def codes():
    return jax.random.normal(jax.random.key(1), (K, D))


def test_nearest_is_that_of_brute_force(z, codes):
    found = vq.nearest(z, codes)
    squared = ((np.asarray(z, np.float64)[..., None, :] - np.asarray(codes, np.float64)) ** 2).sum(-1)
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, squared.argmin(-1))
    np.testing.assert_array_equal(vq.nearest(codes, codes), np.arange(K))
    np.testing.assert_array_equal(vq.nearest(z, jnp.tile(codes[:1], (K, 1))), 0)  # the first of equal ones


@pytest.mark.parametrize("estimator", vq.ESTIMATORS)
def test_estimators_return_the_code(estimator, z, codes):
    e = codes[vq.nearest(z, codes)]
    np.testing.assert_allclose(vq.ESTIMATORS[estimator](z, e), e, atol=2e-6)
    zero = vq.ESTIMATORS[estimator](z, jnp.zeros_like(z))
    np.testing.assert_allclose(zero, 0.0, atol=2e-6)
    for a, b in ((z, 0 * z), (0 * z, e), (0 * z, 0 * z), (-e, e)):  # no direction, or the opposite one
        assert np.isfinite(jax.grad(lambda a, b=b: vq.ESTIMATORS[estimator](a, b).sum())(a)).all()


def test_straight_through_has_the_identity_for_its_jacobian(z, codes):
    jacobian = jax.jacobian(lambda x: vq.straight_through(x, codes[3]))(z[0, 0, 0])
    np.testing.assert_array_equal(jacobian, np.eye(D))


def test_rotation_has_a_scaled_rotation_for_its_jacobian(z, codes):
    """It is orthogonal times |e| / |z|, takes z to e, and leaves what is orthogonal to both."""
    x, e = np.asarray(z[0, 0, 0], np.float64), np.asarray(codes[3], np.float64)
    found = np.asarray(jax.jacobian(lambda x: vq.rotation(x, codes[3]))(z[0, 0, 0]), np.float64)
    scale = np.linalg.norm(e) / np.linalg.norm(x)
    np.testing.assert_allclose(found @ found.T, scale**2 * np.eye(D), atol=1e-5)
    assert np.linalg.det(found) == pytest.approx(scale**D, rel=1e-5)
    np.testing.assert_allclose(found @ x, e, atol=1e-5)
    apart = np.linalg.svd(np.stack([x, e]))[2][2:].T  # orthogonal to both
    np.testing.assert_allclose(found @ apart, scale * apart, atol=1e-5)


def test_commitment_moves_only_the_encoder(z, codes):
    e = codes[vq.nearest(z, codes)]
    by_z, by_e = jax.grad(lambda z, e: vq.commitment(z, e).sum(), argnums=(0, 1))(z, e)
    np.testing.assert_allclose(by_z, 2 * (z - e), rtol=1e-6)
    np.testing.assert_array_equal(by_e, 0.0)
    np.testing.assert_allclose(vq.commitment(z, e), ((z - e) ** 2).sum((1, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize("estimator", vq.ESTIMATORS)
def test_no_gradient_reaches_the_codebook(estimator, z):
    """Neither from the decoder's loss nor from the commitment."""
    quantizer = vq.quantizer(K, D, estimator, 0.9, 0.1)

    def loss(codebook, z):
        found = quantizer.quantize(codebook, z, None, 1.0)
        return (found.latents**2).sum() + found.terms["commitment"].sum() + found.sums["s"].sum()

    by_codebook, by_z = jax.grad(loss, argnums=(0, 1))(quantizer.init(jax.random.key(2)), z)
    assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(by_codebook))
    assert np.abs(by_z).max() > 0


def test_codes_are_the_running_means_of_their_latents():
    """Against the two sums of the paper's appendix A.1, kept over ten batches."""
    rng = np.random.default_rng(0)
    decay, codes, count = 0.9, rng.normal(size=(3, 2)), np.array([5.0, 1.0, 2.0])
    total = count[:, None] * codes
    mine = jnp.float32(codes), jnp.float32(count)
    for _ in range(10):
        which, z = rng.integers(0, 3, 20), rng.normal(size=(20, 2))
        n = np.bincount(which, minlength=3)
        s = np.stack([z[which == k].sum(0) for k in range(3)])
        count, total = decay * count + (1 - decay) * n, decay * total + (1 - decay) * s
        mine = vq.moved(*mine, n=jnp.float32(n), s=jnp.float32(s), decay=decay)
    np.testing.assert_allclose(mine[0], total / count[:, None], rtol=1e-5)
    np.testing.assert_allclose(mine[1], count, rtol=1e-5)


def test_code_without_latents_stays_where_it_is():
    codes, count = vq.moved(jnp.ones((2, 3)), jnp.array([4.0, 0.0]), n=jnp.zeros(2), s=jnp.zeros((2, 3)), decay=0.5)
    np.testing.assert_array_equal(codes, 1.0)
    np.testing.assert_array_equal(count, [2.0, 0.0])


def test_sums_are_those_of_the_latents_of_each_code(z):
    quantizer = vq.quantizer(K, D, "rotation", 0.9, 0.1)
    codebook = quantizer.init(jax.random.key(2))
    found = quantizer.quantize(codebook, z, None, 1.0)
    flat, which = np.asarray(z).reshape(-1, D), np.asarray(found.codes).ravel()
    np.testing.assert_array_equal(found.sums["n"], np.bincount(which, minlength=K))
    np.testing.assert_allclose(found.sums["s"], [flat[which == k].sum(0) for k in range(K)], atol=1e-5)
    np.testing.assert_array_equal(quantizer.codes(codebook, z), found.codes)
    np.testing.assert_array_equal(quantizer.embed(codebook, found.codes), codebook["codes"][found.codes])


def test_dead_codes_are_put_down_at_latents_far_from_their_codes():
    z = jnp.arange(20.0).reshape(10, 2)
    away = jnp.zeros(10).at[jnp.array([2, 7])].set(jnp.array([1.0, 3.0]))
    codes, count = -jnp.ones((400, 2)), jnp.ones(400).at[::2].set(0.05)
    found, after = vq.restarted(codes, count, jnp.float32(1.0), 0.1, z, away, jax.random.key(0))
    np.testing.assert_array_equal(found[1::2], -1.0)
    fresh = np.asarray(found[::2])
    assert {tuple(row) for row in fresh} == {(4.0, 5.0), (14.0, 15.0)}
    # 200 draws, three of four of them the farther one: five standard deviations.
    assert abs((fresh[:, 0] == 14).mean() - 0.75) < 5 * (0.75 * 0.25 / 200) ** 0.5
    np.testing.assert_allclose(after, np.where(np.arange(400) % 2, 1.0, 0.2))


def test_restart_of_zero_leaves_all_codes(z):
    quantizer = vq.quantizer(K, D, "rotation", 0.99, 0.0)
    codebook = {**quantizer.init(jax.random.key(2)), "count": jnp.full(K, 1e-8)}
    found = quantizer.quantize(codebook, 0 * z + codebook["codes"][4], None, 1.0)
    after = quantizer.learn(codebook, found.sums, found.examples, jax.random.key(0))
    np.testing.assert_allclose(after["codes"], codebook["codes"], atol=1e-5)


def test_codebook_begins_at_the_data():
    """After the first update every code is a latent of the batch, or the mean of those that had it."""
    quantizer = vq.quantizer(32, D, "rotation", 0.99, 0.1)
    codebook = quantizer.init(jax.random.key(2))
    far = 50.0 + 5.0 * jax.random.normal(jax.random.key(3), (8, 6, 6, D))  # nowhere near the first codes
    found = quantizer.quantize(codebook, far, None, 1.0)
    after = quantizer.learn(codebook, found.sums, found.examples, jax.random.key(0))
    flat = np.asarray(far).reshape(-1, D)
    nearest = np.abs(np.asarray(after["codes"])[:, None] - flat).max(-1).min(1)
    assert (nearest < 1e-5).sum() >= 28 and np.asarray(after["codes"]).min() > 25
    again = quantizer.quantize(after, far, None, 1.0)
    assert float(again.terms["commitment"].mean()) < 0.05 * float(found.terms["commitment"].mean())
    assert len(np.unique(again.codes)) > 20
