"""DCGAN (Radford et al. 2016) in the 32 x 32 form of StudioGAN's benchmark.

`width` is the number of channels at the foot of the pyramid (512 there); every stage up halves it.
Kernels and embeddings start orthogonal, biases at zero. Conditions enter the generator as an embedding
beside z and the discriminator as a projection (Miyato & Koyama 2018).
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
from gen_jax.networks.convolution import Conv, ConvTranspose
from gen_jax.networks.pyramid import Shape, base, block, stages

_orthogonal = nn.initializers.orthogonal()
# A transposed convolution is orthogonal as the adjoint of a convolution: over its input channels.
_orthogonal_transpose = nn.initializers.orthogonal(column_axis=-2)


class Generator(nn.Module):
    """Dense, then 4x4 stride-2 transposed convolutions with batch norm and ReLU, then conv3 and tanh."""

    shape: Shape
    width: int = setting(512, "channels at the foot of the pyramid, halved at every stage up", least=1)
    conditions: Conditions = ()
    norm: str = setting("batch", "normalisation", choices=("batch", "none"))
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, z: Float[Array, "B Z"], condition: Values = None, train: bool = False
    ) -> Float[Array, "B H W C"]:
        """Latents -> images in [-1, 1]."""
        if self.norm not in ("batch", "none"):
            raise InputError(f"model.generator.norm={self.norm!r}: dcgan knows batch and none")
        count, (height, width) = stages(self.shape), base(self.shape)
        if self.conditions:
            z = jnp.concatenate([z, Embed(self.conditions, z.shape[-1], nn.initializers.normal(1.0))(condition)], -1)
        x = nn.Dense(height * width * self.width, kernel_init=_orthogonal, dtype=self.dtype)(z)
        x = x.reshape(-1, height, width, self.width)
        for stage in range(1, count + 1):
            x = ConvTranspose(
                max(1, self.width >> stage),
                use_bias=self.norm == "none",
                kernel_init=_orthogonal_transpose,
                dtype=self.dtype,
            )(x)
            if self.norm == "batch":
                x = nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=self.dtype)(x)
            x = block(nn.relu(x))
        x = Conv(self.shape[2], (3, 3), kernel_init=_orthogonal, dtype=self.dtype)(x)
        return jnp.tanh(x.astype(jnp.float32))


class Discriminator(nn.Module):
    """Pairs of conv3 and stride-2 conv4, a last conv3, leaky ReLU 0.1 throughout, sum-pool, linear."""

    shape: Shape
    width: int = setting(512, "channels at the foot of the pyramid, halved at every stage up", least=1)
    conditions: Conditions = ()
    norm: str = setting("batch", "normalisation", choices=("none", "batch", "spectral"))
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "B H W C"], condition: Values = None, train: bool = False
    ) -> Float[Array, " B"]:
        """Images in [-1, 1] -> logits."""
        if self.norm not in ("none", "batch", "spectral"):
            raise InputError(f"model.discriminator.norm={self.norm!r}: dcgan knows none, batch and spectral")
        count = stages(self.shape)
        layers, conv, options = nn, Conv, {}
        if self.norm == "spectral":
            layers, conv, options = spectral, spectral.Conv, {"train": train}
        conv = functools.partial(
            conv, use_bias=self.norm != "batch", kernel_init=_orthogonal, dtype=self.dtype, **options
        )

        def activate(x):
            if self.norm == "batch":
                x = nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=self.dtype)(x)
            return nn.leaky_relu(x, 0.1)

        x = images
        for stage in range(count):
            channels = max(1, self.width >> (count - stage))
            x = activate(conv(channels, (3, 3))(x))
            x = block(activate(conv(channels, (4, 4), (2, 2))(x)))
        x = activate(conv(self.width, (3, 3))(x))
        x = x.astype(jnp.float32).sum((1, 2))
        logits = layers.Dense(1, kernel_init=_orthogonal, **options)(x)[:, 0]
        if self.conditions:
            asked = Embed(self.conditions, self.width, _orthogonal, layers=layers, options=options)(condition)
            logits += (asked * x).sum(-1)
        return logits
