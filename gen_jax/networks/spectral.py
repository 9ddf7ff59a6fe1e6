"""Layers divided by their spectral norm (Miyato et al. 2018, Spectral Normalization for GANs).

They stand in for the Flax layers of the same name. Collection "spectral" holds, per layer, `u` [out]
(the estimate of the left singular vector) and `sigma` (the norm as of the last training
call, there to be looked at). Every call runs one power iteration from `u`; only a call with train=True and a mutable
collection keeps its outcome, so evaluation changes nothing.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from gen_jax.networks.convolution import conv


def _unit(vector: Array) -> Array:
    return vector / (jnp.linalg.norm(vector) + 1e-12)


def _normalized(module: nn.Module, kernel: Array, train: bool) -> Array:
    """`kernel` [..., out] / sigma; the gradient flows through sigma = v'Wu but not u and v (eq. 12)."""
    matrix = kernel.reshape(-1, kernel.shape[-1])
    u = module.variable("spectral", "u", lambda: _unit(jax.random.normal(module.make_rng("params"), matrix.shape[1:])))
    stored = module.variable("spectral", "sigma", lambda: jnp.ones(()))
    fixed = jax.lax.stop_gradient(matrix)
    right = _unit(fixed @ u.value)
    left = _unit(right @ fixed)
    sigma = right @ matrix @ left
    if train and module.is_mutable_collection("spectral") and not module.is_initializing():
        u.value, stored.value = left, jax.lax.stop_gradient(sigma)
    return kernel / sigma


class Dense(nn.Module):
    """x [..., in] -> [..., features]."""

    features: int
    use_bias: bool = True
    train: bool = False
    kernel_init: Callable = nn.initializers.glorot_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "... I"]) -> Float[Array, "... O"]:
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        y = x.astype(self.dtype) @ _normalized(self, kernel, self.train).astype(self.dtype)
        if self.use_bias:
            y += self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
        return y


class Conv(nn.Module):
    """x [B, H, W, in] -> [B, H / stride, W / stride, features], padding "SAME"."""

    features: int
    kernel_size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    use_bias: bool = True
    train: bool = False
    kernel_init: Callable = nn.initializers.glorot_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W I"]) -> Float[Array, "B H2 W2 O"]:
        kernel = self.param("kernel", self.kernel_init, (*self.kernel_size, x.shape[-1], self.features))
        kernel = _normalized(self, kernel, self.train).astype(self.dtype)
        y = conv(x.astype(self.dtype), kernel, self.strides)
        if self.use_bias:
            y += self.param("bias", nn.initializers.zeros, (self.features,)).astype(self.dtype)
        return y


class Embed(nn.Module):
    """labels [B] -> rows [B, features] of the embedding matrix."""

    num_embeddings: int
    features: int
    train: bool = False
    embedding_init: Callable = nn.initializers.glorot_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, labels: Int[Array, " B"]) -> Float[Array, "B F"]:
        table = self.param("embedding", self.embedding_init, (self.num_embeddings, self.features))
        return _normalized(self, table, self.train).astype(self.dtype)[labels]
