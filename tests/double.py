"""Training in float64, where two ways to compute one number agree to the last digits, or are not the same."""

import inspect
from contextlib import ExitStack, contextmanager
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.networks import spectral
from gen_jax.networks.conditions import Embed
from gen_jax.program import build

# Momentum 0 leaves the gradient in the optimiser's trace, so that it can be compared as it is.
SGD = {"optimizer__name": "sgd", "optimizer__b1": 0.0, "optimizer__learning_rate": 1e-4}


@contextmanager
def double():
    """Arithmetic in float64, also where gen_jax says float32, or has it for a default."""
    wide = lambda x: jnp.float64 if x is single else x
    single = jnp.float32
    with ExitStack() as stack:
        stack.enter_context(jax.enable_x64(True))
        stack.enter_context(mock.patch.object(jnp, "float32", jnp.float64))
        for module in (Embed, spectral.Dense, spectral.Conv, spectral.Embed):
            init = inspect.unwrap(module.__init__)
            stack.enter_context(mock.patch.object(init, "__defaults__", tuple(map(wide, init.__defaults__))))
        yield


def one_step(config):
    """The State before and after the first update in float64, and its metrics, on the host."""
    with double():
        if "dtype" in config.model:
            with config.unlocked():
                config.model.dtype = "float64"
        program = build(config)
        wide = lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x
        layout = jax.tree.map(lambda x: x.sharding, program.abstract)
        state = jax.jit(lambda tree: jax.tree.map(wide, tree), out_shardings=layout)(program.init())
        before = jax.device_get(state)
        state, metrics = program.update(state, next(program.feeds(0)), program.variants(0, 1))
        assert jax.tree.map(lambda x: x.sharding, state) == layout
        numbers = {name: float(m.total[0] / m.count[0]) for name, m in metrics.items() if m.count[0]}
        return before, jax.device_get(state), numbers


def agree(a, b, tolerance):
    """Whether every array of `a` is that of `b`, to `tolerance` of its largest entry or of 1."""
    for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b), strict=True):
        away, scale = np.max(np.abs(x - y), initial=0.0), np.max(np.abs(y), initial=0.0)
        assert away <= tolerance * max(1.0, scale), (jax.tree_util.keystr(path), away, scale)
