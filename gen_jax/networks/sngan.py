"""The residual networks of SNGAN (Miyato et al. 2018, table 4), for 32 x 32 and other sides.

Conditions enter the generator through conditional batch norm and the discriminator as a projection
(Miyato & Koyama 2018). Kernels start Glorot uniform, biases at zero.
"""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.errors import InputError
from gen_jax.field import setting
from gen_jax.networks import spectral
from gen_jax.networks.conditions import Conditions, Embed, Values
from gen_jax.networks.convolution import Conv
from gen_jax.networks.pyramid import Shape, base, block, down, stages, up

_glorot = nn.initializers.glorot_uniform()


class BatchNorm(nn.Module):
    """Batch norm; with conditions its gain and bias depend on them (Dumoulin et al. 2017)."""

    conditions: Conditions
    dtype: Any

    @nn.compact
    def __call__(self, x, condition, train):
        plain = not self.conditions
        x = nn.BatchNorm(
            use_running_average=not train, momentum=0.9, use_scale=plain, use_bias=plain, dtype=self.dtype
        )(x)
        if plain:
            return x
        scale = Embed(self.conditions, x.shape[-1], dtype=self.dtype, name="scale")(condition)
        bias = Embed(self.conditions, x.shape[-1], dtype=self.dtype, name="bias")(condition)
        return x * (1.0 + scale[:, None, None]) + bias[:, None, None]


class Generator(nn.Module):
    """Dense, one upsampling residual block a stage, batch norm, ReLU, conv3, tanh.

    Only the first and the last layer have a bias: every other one would reach a batch norm unchanged.
    """

    shape: Shape
    width: int = setting(256, "channels of every block", least=1)
    conditions: Conditions = ()
    norm: str = setting("batch", "normalisation", choices=("batch",))
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, z: Float[Array, "B Z"], condition: Values = None, train: bool = False
    ) -> Float[Array, "B H W C"]:
        """Latents -> images in [-1, 1]."""
        if self.norm != "batch":
            raise InputError(f"model.generator.norm={self.norm!r}: sngan knows batch")
        height, width = base(self.shape)
        conv = functools.partial(Conv, self.width, use_bias=False, kernel_init=_glorot, dtype=self.dtype)

        def activate(x):
            return nn.relu(BatchNorm(self.conditions, self.dtype)(x, condition, train))

        x = nn.Dense(height * width * self.width, kernel_init=_glorot, dtype=self.dtype)(z)
        x = x.reshape(-1, height, width, self.width)
        for _ in range(stages(self.shape)):
            residual = conv((3, 3))(activate(conv((3, 3))(up(activate(x)))))
            # A 1x1 convolution commutes with nearest upsampling: four times cheaper before it.
            x = block(up(conv((1, 1))(x)) + residual)
        x = Conv(self.shape[2], (3, 3), kernel_init=_glorot, dtype=self.dtype)(activate(x))
        return jnp.tanh(x.astype(jnp.float32))


class Discriminator(nn.Module):
    """Downsampling residual blocks (two for 32), two plain ones, ReLU, sum-pool, linear."""

    shape: Shape
    width: int = setting(128, "channels of every block", least=1)
    conditions: Conditions = ()
    norm: str = setting("spectral", "normalisation", choices=("none", "spectral"))
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "B H W C"], condition: Values = None, train: bool = False
    ) -> Float[Array, " B"]:
        """Images in [-1, 1] -> logits."""
        if self.norm not in ("none", "spectral"):
            raise InputError(f"model.discriminator.norm={self.norm!r}: sngan knows none and spectral")
        layers, conv, options = nn, Conv, {}
        if self.norm == "spectral":
            layers, conv, options = spectral, spectral.Conv, {"train": train}
        conv = functools.partial(conv, self.width, kernel_init=_glorot, dtype=self.dtype, **options)
        count = stages(self.shape)
        halvings = min(count, max(2, count - 1))

        # The first block, in its optimised form: no ReLU on pixels, the shortcut pooled before its conv.
        x = images.astype(self.dtype)
        residual = conv((3, 3))(nn.relu(conv((3, 3))(x)))
        x = block(down(residual) + conv((1, 1))(down(x)))
        for _ in range(halvings - 1):
            residual = conv((3, 3))(nn.relu(conv((3, 3))(nn.relu(x))))
            # As a 1x1 convolution commutes with the mean of four pixels, the shortcut too is pooled first.
            x = block(down(residual) + conv((1, 1))(down(x)))
        for _ in range(2):
            x = block(x + conv((3, 3))(nn.relu(conv((3, 3))(nn.relu(x)))))
        x = nn.relu(x).astype(jnp.float32).sum((1, 2))
        logits = layers.Dense(1, kernel_init=_glorot, **options)(x)[:, 0]
        if self.conditions:
            asked = Embed(self.conditions, self.width, _glorot, layers=layers, options=options)(condition)
            logits += (asked * x).sum(-1)
        return logits
