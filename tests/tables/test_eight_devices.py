"""Eight devices compute what one computes, each an eighth of it."""

import jax
import numpy as np
import pytest
from shrunk import CONFIGS, each, run_of, shrunk

import gen_jax
from gen_jax.config import load
from gen_jax.program import build
from gen_jax.runtime import checkpoint, mesh
from gen_jax.sample import sampler

# The gradients of batch norms are small differences of long sums, which round too coarsely without optimisation.
OPTIMISED = {"xla_backend_optimization_level": 2}


def compiled(config, options=None):
    """The Program, its inputs for the first update, and the compiled update."""
    program = build(config)
    feed = next(program.feeds(0))
    lowered = program.jitted.lower(program.abstract, feed, program.resident, variants=program.variants(0, 1))
    return program, feed, lowered.compile(compiler_options=options)


def first_step(config, options):
    """State after one update, its metrics, both on the host, and the FLOPs of a device."""
    program, feed, update = compiled(config, options)
    state, metrics = update(program.init(), feed, program.resident)
    numbers = {name: float(m.total[0] / m.count[0]) for name, m in metrics.items()}
    return jax.device_get(state), numbers, update.cost_analysis()["flops"]


def close(a, b, scale):
    """Whether every tensor of `a` is that of `b` to 1e-5 of `scale(tensor)`."""
    paths = jax.tree_util.tree_flatten_with_path(a)[0]
    for (path, x), y in zip(paths, jax.tree.leaves(b), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert np.max(np.abs(x - y), initial=0.0) <= 1e-5 * scale(x) + 1e-12, jax.tree_util.keystr(path)


def by_gradient(name):
    """Whether the config's method has updates to compile."""
    return "train" in load(name)


# A GAN compiles longest, and its rows are slow tests too.
ROWS = [
    pytest.param("gan_digits", marks=pytest.mark.slow),
    *each(n for n in CONFIGS if n != "gan_digits" and by_gradient(n)),
]


@pytest.mark.parametrize("name", ROWS)
def test_eight_devices_equal_one(name, tmp_path):
    # Momentum 0 leaves the gradient in the optimiser's trace, so that it can be compared as it is. The rate is small,
    # since a generator's gradient is that against a critic which has moved: that would amplify the critic's rounding.
    sgd = {"optimizer__name": "sgd", "optimizer__b1": 0.0, "optimizer__learning_rate": 1e-4}
    options = OPTIMISED if name == "sngan_cifar10" else None
    one, metrics_1, flops_1 = first_step(shrunk(name, tmp_path, mesh__devices=1, **sgd), options)
    eight, metrics_8, flops_8 = first_step(shrunk(name, tmp_path, mesh__devices=8, **sgd), options)
    for key in metrics_1:
        assert metrics_8[key] == pytest.approx(metrics_1[key], rel=1e-5, abs=1e-6), key
    largest = lambda x: np.max(np.abs(x), initial=0.0)  # noqa: E731
    assert jax.tree.leaves(one.opt_state)
    close(one.opt_state, eight.opt_state, largest)
    close(one.collections, eight.collections, largest)
    close(one.params, eight.params, lambda x: 1.0)
    assert flops_8 <= 0.15 * flops_1


@pytest.mark.parametrize("name", each(name for name in CONFIGS if not by_gradient(name)))
def test_eight_devices_draw_what_one_draws(name, shared):
    run = gen_jax.load(run_of(name, shared))
    variables = jax.device_get(run.variables)
    one, eight = (sampler(run.method, mesh.make(n)).sample(variables, range(20)) for n in (1, 8))
    assert np.abs(one.astype(int) - eight).max() <= 1


@pytest.mark.slow
def test_gradient_penalty_is_sharded(tmp_path):
    choice = {"objective__loss": "wasserstein", "objective__r1_weight": 0, "objective__r2_weight": 0}
    choice |= {"objective__gradient_penalty_weight": 10}
    updates = [compiled(shrunk("gan_digits", tmp_path, mesh__devices=n, **choice))[2] for n in (1, 8)]
    one, eight = (update.cost_analysis()["flops"] for update in updates)
    assert eight <= 0.15 * one


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_state_of_eight_devices_restores_on_fewer(devices, tmp_path):
    program = build(shrunk("gan_digits", tmp_path, mesh__devices=8))
    state = program.init()
    with checkpoint.opened(tmp_path / "checkpoints") as saved:
        saved.save(0, state, {})
    fewer = build(shrunk("gan_digits", tmp_path, mesh__devices=devices))
    with checkpoint.opened(tmp_path / "checkpoints", read_only=True) as saved:
        restored, _ = saved.restore(0, fewer.abstract)
    for old, new in zip(jax.tree.leaves(state), jax.tree.leaves(restored), strict=True):
        np.testing.assert_array_equal(np.asarray(old), np.asarray(new))
        assert len(new.sharding.device_set) == devices
