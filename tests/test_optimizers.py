"""Optimisers built inside the step, and the moving average."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax import optimizers, schedules

HYPER = {"learning_rate": 0.1, "b1": 0.9, "b2": 0.95, "eps": 1e-8, "weight_decay": 0.02, "clip": 1.0}


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_scheduled_hyperparameters_equal_static_ones(name):
    """Traced numbers give the updates of optax's own transformation, step for step."""
    params = {"w": jnp.arange(4.0)}
    static = {"adam": optax.adam(0.1, b2=0.95), "adamw": optax.adamw(0.1, b2=0.95, weight_decay=0.02)}
    static["sgd"] = optax.sgd(0.1, momentum=0.9)
    rule = optimizers.make(name)
    mine = optimizers.start(rule, params)
    theirs = static[name].init(params)

    @jax.jit
    def step(grads, state, hyper):
        return rule(hyper).update(grads, state, params)

    for i in range(3):
        grads = {"w": jnp.array([1.0, -2.0, 0.5, i])}
        a, mine = step(grads, mine, HYPER)
        b, theirs = static[name].update(grads, theirs, params)
        np.testing.assert_allclose(a["w"], b["w"], rtol=1e-5, atol=1e-7)


def test_clip_is_by_global_norm():
    rule = optimizers.make("sgd", clipped=True)({**HYPER, "learning_rate": 1.0, "b1": 0.0})
    grads = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}
    updates, _ = rule.update(grads, rule.init(grads), grads)
    assert float(updates["a"][0]) == pytest.approx(-0.6) and float(updates["b"][0]) == pytest.approx(-0.8)


def test_an_average_that_warms_up_forgets_where_it_began():
    """Of the weights of the first half of the images 0.8 % are left; without the ramp the start alone has half."""
    share = {}
    for warmup in (0.1, 0.0):
        half_life = schedules.warmed(schedules.constant(20_000), schedules.constant(warmup), images=50)
        old = {"w": jnp.ones(())}  # 1: born in the first half
        for step in range(400):
            new = {"w": jnp.float32(step < 200)}
            old = optimizers.update_average(old, new, jnp.float32(half_life(step)), 50)
        share[warmup] = float(old["w"])
    assert share[0.1] == pytest.approx(0.5 ** (np.log(2) / 0.1), rel=0.03)
    assert share[0.0] > 0.5
    # Once enough has been seen the half-life is the one that was asked for.
    late = schedules.warmed(schedules.constant(20_000), schedules.constant(0.1), images=50)
    assert [late(step) for step in (0, 1999, 3999, 10**6)] == pytest.approx([5, 10_000, 20_000, 20_000])


def test_half_life_of_the_average():
    old, new = {"w": jnp.zeros(2)}, {"w": jnp.ones(2)}
    for images, half_life, expected in [(64, 64.0, 0.5), (128, 64.0, 0.75), (64, 0.0, 1.0), (32, 64.0, 1 - 0.5**0.5)]:
        averaged = optimizers.update_average(old, new, jnp.float32(half_life), images)
        np.testing.assert_allclose(averaged["w"], expected, rtol=1e-6)
