"""The Inception network against published counts and pooling by hand; PyTorch's answer is in tests/oracles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.networks.inception import Inception

# The smallest image whose last blocks have 3 x 3 pixels, where a corner and a centre differ.
SHAPE = (1, 139, 139, 3)


def test_as_many_parameters_as_published():
    shapes = jax.eval_shape(Inception().init, jax.random.key(0), jnp.zeros((1, 299, 299, 3)))
    count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
    params = dict(shapes["params"])
    assert count(params.pop("fc")) == 2048 * 1008
    # The model zoos' network without its top has 21,768,352 parameters and 34,432 statistics; theirs lacks the
    # scale of batch norm, which is half as many numbers as its statistics.
    assert count(shapes["batch_stats"]) == 34_432
    assert count(params) == 21_768_352 + 34_432 // 2


@pytest.fixture(scope="module")
def blocks():
    """Variables of the initial network, and the outputs of its last three blocks and of itself on noise."""
    rng = np.random.default_rng(0)
    images = rng.uniform(-1.0, 1.0, size=SHAPE).astype(np.float32)

    def fill(path, leaf):
        if path[-1].key == "kernel":
            return rng.normal(size=leaf.shape, scale=np.prod(leaf.shape[:-1]) ** -0.5).astype(np.float32)
        return np.full(leaf.shape, path[-1].key in ("scale", "var"), np.float32)

    # Not by `init`: its 94 random kernels take ten times as long to compile as the network.
    variables = jax.tree_util.tree_map_with_path(fill, jax.eval_shape(Inception().init, jax.random.key(0), images))
    keep = lambda module, _: module.name in ("Mixed_7a", "Mixed_7b", "Mixed_7c")
    apply = lambda v, x: Inception().apply(v, x, capture_intermediates=keep, mutable=["intermediates"])
    out, seen = jax.device_get(jax.jit(apply)(variables, images))
    return variables, {name: block["__call__"][0] for name, block in seen["intermediates"].items()}, out


def unit(variables, block, pooled):
    """The 1 x 1 unit behind a pool, at initial statistics (mean 0, variance 1)."""
    kernel = variables["params"][block]["branch_pool"]["conv"]["kernel"][0, 0]
    return np.maximum(pooled @ kernel / np.sqrt(1.0 + 1e-3), 0.0)


@pytest.mark.slow
def test_averages_do_not_count_the_padding(blocks):
    variables, outputs, _ = blocks
    assert outputs["Mixed_7a"].shape == (1, 3, 3, 1280)
    corner = outputs["Mixed_7a"][0, :2, :2].mean((0, 1))
    np.testing.assert_allclose(
        outputs["Mixed_7b"][0, 0, 0, -192:], unit(variables, "Mixed_7b", corner), rtol=1e-4, atol=1e-7
    )


def test_the_last_block_takes_the_maximum(blocks):
    variables, outputs, _ = blocks
    largest = outputs["Mixed_7b"][0].max((0, 1))
    np.testing.assert_allclose(
        outputs["Mixed_7c"][0, 1, 1, -192:], unit(variables, "Mixed_7c", largest), rtol=1e-4, atol=1e-7
    )


def test_features_are_the_mean_of_the_last_block_and_logits_linear_in_them(blocks):
    variables, outputs, (features, logits) = blocks
    np.testing.assert_allclose(features, outputs["Mixed_7c"].mean((1, 2)), rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(logits, features @ variables["params"]["fc"]["kernel"], rtol=1e-3, atol=1e-7)
    assert logits.shape == (1, 1008) and np.ptp(logits) > 0
