"""Blocks that are computed again in the backward pass: the same gradients."""

import jax
import numpy as np

from gen_jax import networks
from gen_jax.networks.called import Called

SHAPE, BATCH, Z = (32, 32, 1), 16, 8


def test_the_same_gradient():
    """Of the convolutional decoder, whose blocks are a convolution each."""
    module = networks.DECODERS["conv"](SHAPE, width=16)
    inputs = jax.random.normal(jax.random.key(1), (BATCH, Z))
    params = jax.jit(module.init)(jax.random.key(0), inputs)["params"]

    def gradient(remat):
        return jax.grad(lambda params: (Called(module, remat).apply({"params": params}, inputs) ** 2).mean())

    programs = [jax.make_jaxpr(gradient(remat))(params) for remat in (False, True)]
    assert ["checkpoint" in str(program) or "remat" in str(program) for program in programs] == [False, True]
    plain, again = (jax.jit(gradient(remat))(params) for remat in (False, True))
    for a, b in zip(*map(jax.tree.leaves, (plain, again)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * np.abs(a).max())
