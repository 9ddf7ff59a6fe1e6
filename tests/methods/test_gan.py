"""The game: who is updated when, with what, and what stays as it was."""

import jax
import numpy as np
import pytest
from shrunk import shrunk

from gen_jax import randomness
from gen_jax.losses.adversarial import OBJECTIVES
from gen_jax.method import variables_of
from gen_jax.networks import convnet
from gen_jax.program import build
from gen_jax.sample import sampler

SGD = {"optimizer__name": "sgd", "optimizer__b1": 0.0, "optimizer__learning_rate": 0.05}
FREE = {"objective__r1_weight": 0, "objective__r2_weight": 0}


def run_one(config):
    """(state before, state after, metrics, program) of one update, on the host."""
    program = build(config)
    feed = next(program.feeds(0))
    before = jax.device_get(program.init())
    after, metrics = program.update(program.init(), feed, program.variants(0, 1))
    return before, jax.device_get(after), metrics, program


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


# The original game, and the one whose generator looks at reals; the others differ in `losses` alone.
@pytest.mark.parametrize("loss", ["minimax", "relativistic"])
def test_step_is_the_algorithm_of_the_paper(loss, tmp_path):
    """One critic update on a batch and fresh fakes, then one generator update against the new critic."""
    config = shrunk("gan_digits_unconditional", tmp_path, objective__loss=loss, **SGD, **FREE)
    before, after, metrics, program = run_one(config)
    generator = convnet.Generator(shape=(16, 16, 1), width=8)
    critic = convnet.Discriminator(shape=(16, 16, 1), width=8)
    rows = np.arange(64)
    reals = [program.dataset.batch(i, rows)["image"] / 127.5 - 1.0 for i in range(2)]
    keys = jax.random.split(jax.random.fold_in(randomness.stream(0, randomness.TRAIN), 0), 2)
    noise = [randomness.normal(randomness.row_keys(key, rows), (8,)) for key in keys]

    def play(d, g, i):
        fakes = generator.apply({"params": g}, noise[i])
        return OBJECTIVES[loss](critic.apply({"params": d}, reals[i]), critic.apply({"params": d}, fakes))

    d, g = before.params["discriminator"], before.params["generator"]
    d_value, d_grad = jax.jit(jax.value_and_grad(lambda d: play(d, g, 0).discriminator.mean()))(d)
    d = jax.tree.map(lambda p, dp: p - 0.05 * dp, d, d_grad)
    g_value, g_grad = jax.jit(jax.value_and_grad(lambda g: play(d, g, 1).generator.mean()))(g)
    g = jax.tree.map(lambda p, dp: p - 0.05 * dp, g, g_grad)
    assert float(metrics["d"].total[0]) / 64 == pytest.approx(float(d_value), rel=1e-4)
    assert float(metrics["g"].total[0]) / 64 == pytest.approx(float(g_value), rel=1e-4)
    expected = {"discriminator": d, "generator": g}
    for mine, theirs in zip(jax.tree.leaves(after.params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_generator_update_leaves_the_critic_bitwise_unchanged(tmp_path):
    before, after, _, _ = run_one(
        shrunk("gan_digits_unconditional", tmp_path, optimizer__discriminator_ratio=0.0, **SGD)
    )
    assert equal(before.params["discriminator"], after.params["discriminator"])
    assert not equal(before.params["generator"], after.params["generator"])


@pytest.mark.slow
def test_critic_is_updated_k_times_a_step(tmp_path):
    _, after, _, program = run_one(shrunk("gan_digits_unconditional", tmp_path, train__critic_steps=3))
    counts = {name: int(state[0].count) for name, state in after.opt_state.items()}
    assert counts == {"discriminator": 3, "generator": 1} and program.method.draws == 4


DUE = ("r1", "r2")


@pytest.mark.slow
def test_lazy_penalty_is_heavier_and_rarer(tmp_path):
    """Every second step with twice the weight: step 0 has it, step 1 has not."""
    eager = build(shrunk("gan_digits_unconditional", tmp_path, **SGD))
    lazy = build(shrunk("gan_digits_unconditional", tmp_path, objective__penalty_every=2, **SGD))
    doubled = build(
        shrunk("gan_digits_unconditional", tmp_path, objective__r1_weight=0.2, objective__r2_weight=0.2, **SGD)
    )
    assert lazy.variants(0, 4) == (DUE, (), DUE, ()) and eager.variants(0, 2) == (DUE, DUE)
    feed = next(lazy.feeds(0))
    with_penalty, metrics = lazy.update(lazy.init(), feed, (DUE,))
    assert float(metrics["r1"].count[0]) == 64
    assert_close(with_penalty.params, doubled.update(doubled.init(), next(doubled.feeds(0)), (DUE,))[0].params)
    free = build(shrunk("gan_digits_unconditional", tmp_path, **SGD, **FREE))
    without, metrics = lazy.update(lazy.init(), feed, ((),))
    assert float(metrics["r1"].count[0]) == 0
    assert_close(without.params, free.update(free.init(), next(free.feeds(0)), ((),))[0].params)


def assert_close(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)


def test_average_follows_its_half_life(tmp_path):
    """A half-life of one batch: the average moves half of the way."""
    before, after, _, _ = run_one(
        shrunk("gan_digits_unconditional", tmp_path, optimizer__average=64.0, optimizer__average_warmup=0, **SGD)
    )
    half = jax.tree.map(lambda x, y: (x + y) / 2, before.params["generator"], after.params["generator"])
    assert_close(after.average.params["generator"], half)
    assert set(after.average.params) == {"generator"}


@pytest.mark.slow
def test_statistics_are_averaged_with_the_parameters(tmp_path):
    before, after, _, _ = run_one(shrunk("gan_mnist", tmp_path, optimizer__average=64.0, optimizer__average_warmup=0))
    stats = lambda state: state.collections["generator"]["batch_stats"]
    assert not equal(stats(before), stats(after))
    half = jax.tree.map(lambda x, y: (x + y) / 2, stats(before), stats(after))
    assert_close(after.average.collections["generator"]["batch_stats"], half)


def test_class_of_a_seed_is_part_of_the_seed(tmp_path):
    program = build(shrunk("gan_digits_unconditional", tmp_path, model__condition="label"))
    variables = variables_of(program.method, program.init())
    keys = randomness.image_keys(np.arange(40))
    labels = {"label": randomness.classes(keys, 10)}
    drawn = sampler(program.method).sample(variables, np.arange(40))
    assert len(np.unique(labels["label"])) > 5
    np.testing.assert_array_equal(drawn, sampler(program.method).sample(variables, np.arange(40), labels))
    other = sampler(program.method).sample(variables, np.arange(40), {"label": 0})
    assert (drawn != other).any()
