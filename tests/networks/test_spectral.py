"""Spectral normalisation against a singular value decomposition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from gen_jax import networks
from gen_jax.data.condition import Condition
from gen_jax.networks import spectral

LAYERS = {
    "dense": (lambda train: spectral.Dense(12, train=train), jnp.ones((2, 9))),
    "conv": (lambda train: spectral.Conv(12, (4, 4), (2, 2), train=train), jnp.ones((2, 8, 8, 3))),
    "embed": (lambda train: spectral.Embed(9, 12, train=train), jnp.array([0, 1])),
}


def _largest(kernel):
    return np.linalg.svd(np.asarray(kernel).reshape(-1, kernel.shape[-1]), compute_uv=False)[0]


def _kernel(variables):
    params = variables["params"]
    return params["embedding" if "embedding" in params else "kernel"]


@pytest.mark.parametrize("name", LAYERS)
def test_power_iteration_finds_the_largest_singular_value(name):
    layer, x = LAYERS[name]
    variables = layer(True).init(jax.random.key(0), x)
    train = jax.jit(lambda variables: layer(True).apply(variables, x, mutable=["spectral"]))
    for _ in range(300):
        y, changed = train(variables)
        variables = {**variables, **changed}
    sigma = variables["spectral"]["sigma"]
    np.testing.assert_allclose(sigma, _largest(_kernel(variables)), rtol=1e-3)
    assert abs(_largest(_kernel(variables) / sigma) - 1) < 1e-3
    # The layer used that sigma: it equals the plain one with the kernel divided.
    plain = {"params": jax.tree.map(lambda leaf: leaf / sigma, variables["params"])}
    unit = {"sigma": jnp.ones(()), "u": variables["spectral"]["u"]}
    again, _ = layer(False).apply({**plain, "spectral": unit}, x, mutable=["spectral"])
    np.testing.assert_allclose(again, y, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_scale_of_the_kernel_does_not_matter(name):
    layer, x = LAYERS[name]
    variables = layer(False).init(jax.random.key(0), x)
    scaled = {**variables, "params": jax.tree.map(lambda leaf: 7 * leaf, variables["params"])}
    np.testing.assert_allclose(layer(False).apply(scaled, x), layer(False).apply(variables, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_u_changes_in_training_only(name):
    layer, x = LAYERS[name]
    variables = layer(False).init(jax.random.key(0), x)
    _, changed = layer(False).apply(variables, x, mutable=["spectral"])
    np.testing.assert_array_equal(changed["spectral"]["u"], variables["spectral"]["u"])
    layer(True).apply(variables, x)  # not mutable: no error, no change
    _, changed = layer(True).apply(variables, x, mutable=["spectral"])
    assert not np.array_equal(changed["spectral"]["u"], variables["spectral"]["u"])


def test_gradient_flows_through_sigma():
    """Equation 12 of Miyato et al. 2018: dL/dW = (G - sum(G * W_bar) u v') / sigma, G = dL/dW_bar."""
    x = jax.random.normal(jax.random.key(1), (5, 9))
    layer = spectral.Dense(12, use_bias=False)
    variables = layer.init(jax.random.key(0), x)
    target = jax.random.normal(jax.random.key(2), (5, 12))
    gradient = jax.grad(lambda params: (layer.apply({**variables, "params": params}, x) * target).sum())(
        variables["params"]
    )["kernel"]
    kernel, u = np.asarray(variables["params"]["kernel"]), np.asarray(variables["spectral"]["u"])
    v = kernel @ u / np.linalg.norm(kernel @ u)
    u = v @ kernel / np.linalg.norm(v @ kernel)
    sigma, upstream = v @ kernel @ u, np.asarray(x).T @ np.asarray(target)
    expected = (upstream - (upstream * kernel / sigma).sum() * np.outer(v, u)) / sigma
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["dcgan", "sngan"])
def test_every_kernel_of_a_discriminator_is_normalised(name):
    images, condition = jnp.ones((2, 16, 16, 1)), {"label": jnp.array([0, 1])}
    discriminator = networks.DISCRIMINATORS[name](
        (16, 16, 1), width=8, norm="spectral", conditions=(("label", Condition("label", (), 3)),)
    )
    variables = jax.eval_shape(lambda: discriminator.init(jax.random.key(0), images, condition))
    layers = lambda tree, names: {path[:-1] for path in traverse_util.flatten_dict(tree) if path[-1] in names}
    assert layers(variables["params"], ("kernel", "embedding")) == layers(variables["spectral"], ("u",))
