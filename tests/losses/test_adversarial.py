"""Adversarial objectives against probabilities, equilibrium values and extreme logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.losses import adversarial
from gen_jax.losses.adversarial import OBJECTIVES

LOG2 = np.log(2.0)
REAL = np.linspace(-4.0, 3.0, 8)
FAKE = np.array([2.0, -3.0, 0.5, 0.0, 1.0, -1.0, 4.0, -0.25])


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


# From probabilities and case distinctions, in float64: written as the papers write them.
ORACLES = {
    "minimax": (
        -(np.log(sigmoid(REAL)) + np.log(1.0 - sigmoid(FAKE))),
        np.log(1.0 - sigmoid(FAKE)),
    ),
    "non_saturating": (
        -(np.log(sigmoid(REAL)) + np.log(1.0 - sigmoid(FAKE))),
        -np.log(sigmoid(FAKE)),
    ),
    "hinge": (
        -(np.minimum(0.0, -1.0 + REAL) + np.minimum(0.0, -1.0 - FAKE)),
        -FAKE,
    ),
    "least_squares": (((REAL - 1.0) ** 2 + FAKE**2) / 2.0, (FAKE - 1.0) ** 2 / 2.0),
    "wasserstein": (-(REAL - FAKE), -FAKE),
    "relativistic": (-np.log(sigmoid(REAL - FAKE)), -np.log(sigmoid(FAKE - REAL))),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_equals_the_formula_of_the_paper_per_example(name):
    losses = jax.jit(OBJECTIVES[name])(jnp.asarray(REAL), jnp.asarray(FAKE))
    assert losses.discriminator.shape == losses.generator.shape == (8,)
    np.testing.assert_allclose(losses.discriminator, ORACLES[name][0], rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(losses.generator, ORACLES[name][1], rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "constant", "discriminator", "generator"),
    [
        ("minimax", 0.0, 2 * LOG2, -LOG2),
        ("non_saturating", 0.0, 2 * LOG2, LOG2),
        ("hinge", 0.7, 2.0, -0.7),
        ("least_squares", 0.5, 0.25, 0.125),
        ("wasserstein", 3.0, 0.0, -3.0),
        ("relativistic", 3.0, LOG2, LOG2),
    ],
)
def test_equilibrium_value_and_stationarity_of_the_critic(name, constant, discriminator, generator):
    logits = jnp.full((4,), constant)
    losses = jax.jit(OBJECTIVES[name])(logits, logits)
    np.testing.assert_allclose(losses.discriminator, discriminator, rtol=1e-6)
    np.testing.assert_allclose(losses.generator, generator, rtol=1e-6)
    # Where both distributions agree, moving both logits of an image together does not help the critic.
    slope = jax.jit(jax.grad(lambda both: OBJECTIVES[name](both, both).discriminator.sum()))(logits)
    np.testing.assert_allclose(slope, 0.0, atol=1e-6)


def test_minimax_at_a_constant_critic_is_the_value_of_the_game():
    # V(D, G) = log D + log(1 - D) <= -log 4 with equality at D = 1/2 (theorem 1 of the paper).
    constants = jnp.linspace(-5.0, 5.0, 11)
    value = -adversarial.minimax(constants, constants).discriminator
    d = sigmoid(np.linspace(-5.0, 5.0, 11))
    np.testing.assert_allclose(value, np.log(d) + np.log(1.0 - d), rtol=1e-5)
    assert int(jnp.argmax(value)) == 5
    np.testing.assert_allclose(value[5], -np.log(4.0), rtol=1e-6)


def test_minimax_is_zero_sum_in_the_term_that_the_generator_moves():
    def total(fake):
        losses = adversarial.minimax(jnp.zeros(8), fake)
        return jnp.sum(losses.discriminator + losses.generator)

    np.testing.assert_allclose(jax.jit(jax.grad(total))(jnp.asarray(FAKE)), 0.0, atol=1e-7)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_generator_of_a_sure_critic_learns_in_all_games_but_minimax(name):
    def loss(fake):
        return OBJECTIVES[name](jnp.full(1, 30.0), fake).generator[0]

    slope = jax.jit(jax.grad(loss))(jnp.full(1, -30.0))
    assert (abs(float(slope[0])) < 1e-9) == (name == "minimax")
