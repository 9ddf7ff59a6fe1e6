"""A transformer for tests."""

import jax
import jax.numpy as jnp

from gen_jax.data.condition import zeros
from gen_jax.networks.transformer import Transformer


def made(conditions=(), grid=(2, 3), tokens=3, rows=2, **fields):
    """A small transformer and its variables, all of them random: none is where it started, at zero."""
    fields = {"layers": 2, "width": 8, "heads": 2, "dtype": jnp.float32, **fields}
    network = Transformer(tokens, grid, conditions, **fields)
    blank = jnp.zeros((rows, grid[0] * grid[1]), jnp.int32)
    params = jax.jit(network.init)(jax.random.key(0), blank, zeros(dict(conditions), rows))["params"]
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    leaves = [0.4 * jax.random.normal(key, x.shape, fields["dtype"]) for key, x in zip(keys, leaves, strict=True)]
    return network, {"params": jax.tree.unflatten(tree, leaves)}


def called(network, variables, method=None):
    """The network as a compiled function of its arguments: one after another its operations would be compiled alone."""
    return jax.jit(lambda *arguments: network.apply(variables, *arguments, method=method))
