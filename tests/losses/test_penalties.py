"""Gradient penalties against closed forms, finite differences and a count of the work per device."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from critics import convolutional
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from gen_jax.losses import penalties

KEY = jax.random.key(3)


def images(seed, batch=5, side=4, channels=2):
    return jnp.asarray(np.random.default_rng(seed).uniform(size=(batch, side, side, channels)))


def linear(w):
    return lambda x: jnp.einsum("bhwc,hwc->b", x, w)


def conv_params(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "kernel": jnp.asarray(0.5 * rng.normal(size=(3, 3, 2, 3))),
        "head": jnp.asarray(rng.normal(size=(4, 4, 3))),
    }


PENALTIES = {
    "r1": lambda critic, real, fake: penalties.r1(critic, real),
    "r2": lambda critic, real, fake: penalties.r2(critic, fake),
    "gradient_penalty": lambda critic, real, fake: penalties.gradient_penalty(critic, real, fake, KEY),
}


def test_r1_and_r2_of_a_linear_critic_are_its_squared_norm():
    w = images(1)[0] - 0.5
    expected = np.full(5, np.sum(np.asarray(w, np.float64) ** 2))
    np.testing.assert_allclose(penalties.r1(linear(w), images(0)), expected, rtol=1e-5)
    np.testing.assert_allclose(penalties.r2(linear(w), images(2)), expected, rtol=1e-5)


def test_gradient_penalty_of_a_linear_critic_and_its_slope():
    w = images(1)[0] - 0.5
    norm = np.linalg.norm(np.asarray(w, np.float64))

    def penalty(w):
        return penalties.gradient_penalty(linear(w), images(0), images(2), KEY)

    values, slopes = jax.jit(lambda w: (penalty(w), jax.jacrev(penalty)(w)))(w)
    np.testing.assert_allclose(values, np.full(5, (norm - 1.0) ** 2), rtol=1e-5)
    for slope in slopes:
        np.testing.assert_allclose(slope, 2.0 * (norm - 1.0) * w / norm, rtol=1e-4)


def test_r1_of_a_quadratic_critic_and_its_slope():
    # D(x) = 1/2 sum a x^2 has the gradient a x: R1 = sum a^2 x^2, dR1/da = 2 a x^2.
    a, x = images(1)[0] - 0.5, images(0)

    def penalty(a):
        return penalties.r1(lambda x: 0.5 * jnp.sum(a * x**2, axis=(1, 2, 3)), x)

    values, slopes = jax.jit(lambda a: (penalty(a), jax.jacrev(penalty)(a)))(a)
    np.testing.assert_allclose(values, np.sum((a * x) ** 2, axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(slopes, 2.0 * a * x**2, rtol=1e-5)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_batch_gives_what_its_images_give_alone(name):
    real, fake, critic = images(0), images(2), convolutional(conv_params())
    penalty = jax.jit(partial(PENALTIES[name], critic))
    together = penalty(real, fake)
    assert together.shape == (5,)
    # The first rows keep their numbers, hence their mixing coefficients, in a smaller batch.
    np.testing.assert_allclose(together[:2], penalty(real[:2], fake[:2]), rtol=1e-5)
    if name != "gradient_penalty":
        np.testing.assert_allclose(together[::-1], penalty(real[::-1], fake[::-1]), rtol=1e-5)


@pytest.mark.parametrize("name", PENALTIES)
def test_finite_where_the_gradient_of_the_critic_vanishes(name):
    w = jnp.zeros((4, 4, 2))

    def penalty(w):
        return PENALTIES[name](linear(w), images(0), images(2)).mean()

    values, slope = jax.jit(jax.value_and_grad(penalty))(w)
    np.testing.assert_allclose(values, 1.0 if name == "gradient_penalty" else 0.0, atol=1e-5)
    np.testing.assert_array_equal(slope, 0.0)


@partial(jax.jit, static_argnums=1)
def coefficients(key, batch):
    """The mixing coefficients, read off the critic D(u) = u^2 / 4 between 1 (real) and 0: (e / 2 - 1)^2."""
    one = jnp.ones((batch, 1, 1, 1))
    penalty = penalties.gradient_penalty(lambda u: 0.25 * u[:, 0, 0, 0] ** 2, one, 0.0 * one, key)
    return 2.0 * (1.0 - jnp.sqrt(penalty))


def test_mixing_coefficients_are_uniform_one_per_image_and_fixed_by_key_and_row():
    e = coefficients(KEY, 2000)
    assert scipy.stats.kstest(np.asarray(e), "uniform").pvalue > 1e-3
    assert len(np.unique(np.asarray(e))) > 1900
    np.testing.assert_allclose(coefficients(KEY, 7), e[:7], atol=1e-6)
    assert np.abs(coefficients(jax.random.key(4), 7) - e[:7]).max() > 0.1


def test_gradient_penalty_is_taken_between_the_pair():
    # |dD/du| of D(u) = u^2 / 2 is u, which stays within [2, 3] between 2 and 3: the penalty within [1, 4].
    two = jnp.full((64, 1, 1, 1), 2.0)

    def critic(u):
        return 0.5 * u[:, 0, 0, 0] ** 2

    penalty = jax.jit(partial(penalties.gradient_penalty, critic))(two, two + 1.0, KEY)
    assert 1.0 <= penalty.min() < 1.5 and 3.5 < penalty.max() <= 4.0


def strided(params, x):
    layout = ("NHWC", "HWIO", "NHWC")
    for kernel in params:
        x = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=layout)
        x = jax.nn.leaky_relu(x, 0.2)
    return jnp.mean(x, axis=(1, 2, 3))


def test_eight_devices_share_the_work():
    def loss(params, real, fake, key):
        return jnp.mean(penalties.gradient_penalty(partial(strided, params), real, fake, key))

    rng = np.random.default_rng(0)
    params = [0.1 * rng.normal(size=shape).astype(np.float32) for shape in [(3, 3, 3, 16), (3, 3, 16, 32)]]
    real, fake = rng.uniform(size=(2, 64, 16, 16, 3)).astype(np.float32)
    results, flops = [], []
    for devices in (jax.devices()[:1], jax.devices()[:8]):
        mesh = jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)
        rows, everywhere = NamedSharding(mesh, PartitionSpec("data")), NamedSharding(mesh, PartitionSpec())
        shardings = (everywhere, rows, rows, everywhere)
        arguments = jax.device_put((params, real, fake, KEY), shardings)
        compiled = jax.jit(jax.value_and_grad(loss), in_shardings=shardings).lower(*arguments).compile()
        flops.append(compiled.cost_analysis()["flops"])
        results.append(compiled(*arguments))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-6), *results)
    assert len(jax.devices()) >= 8, "tests/conftest.py simulates eight devices"
    assert flops[1] <= 0.15 * flops[0]
