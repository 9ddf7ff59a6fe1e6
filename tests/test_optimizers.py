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
    static["muon"] = optax.nadamw(0.1, b2=0.95, weight_decay=0.02)  # of what is no kernel
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


@pytest.mark.parametrize("shape", [(12, 30), (3, 3, 5, 8)])
def test_muon_turns_the_momentum_of_a_kernel_into_an_orthogonal_matrix(shape):
    """Beside numpy's SVD: five Newton-Schulz steps bring singular values to 0.7 to 1.2, and leave the vectors."""
    rng = np.random.default_rng(0)
    grads = {"layer": {"kernel": rng.normal(size=shape)}, "head": {"kernel": rng.normal(size=(4, 7))}}
    params = jax.tree.map(jnp.zeros_like, grads)
    hyper = {**HYPER, "weight_decay": 0.0, "learning_rate": 1.0}
    rule = optimizers.make("muon")(hyper)
    updates, _ = rule.update(grads, rule.init(params), params)
    inputs, outputs = int(np.prod(shape[:-1])), shape[-1]
    update = -np.float64(updates["layer"]["kernel"]).reshape(inputs, outputs) / (0.2 * max(inputs, outputs) ** 0.5)
    left, _, right = np.linalg.svd(grads["layer"]["kernel"].reshape(inputs, outputs), full_matrices=False)
    within = left.T @ update @ right.T
    assert np.abs(within - np.diag(np.diag(within))).max() < 0.02
    assert np.diag(within).min() > 0.65 and np.diag(within).max() < 1.25
    nadam = optax.nadam(1.0, b2=0.95)
    theirs, _ = nadam.update(grads["head"], nadam.init(params["head"]), params["head"])
    np.testing.assert_allclose(updates["head"]["kernel"], theirs["kernel"], rtol=1e-6)


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
