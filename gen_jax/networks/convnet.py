"""A small pair without normalisation: digits in minutes on a CPU.

`width` channels at the full side, twice as many below: at width 32, 16 x 16 grey and 64 latents the
generator has 122,241 parameters and the discriminator 56,769. Kernels start He normal for leaky ReLU
(He et al. 2015, eq. 15), those before no activation at gain 1, biases at zero. Conditions enter as in
`dcgan`.
"""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.errors import InputError
from gen_jax.field import setting
from gen_jax.networks.conditions import Conditions, Embed, Values
from gen_jax.networks.convolution import Conv
from gen_jax.networks.pyramid import Shape, base, block, down, stages, up

_SLOPE = 0.2
_he = nn.initializers.variance_scaling(2 / (1 + _SLOPE**2), "fan_in", "truncated_normal")
_linear = nn.initializers.lecun_normal()


class Generator(nn.Module):
    """Dense, then [nearest upsampling, conv3, leaky ReLU] a stage, then conv3 and tanh."""

    shape: Shape
    width: int = setting(32, "channels at the full side, twice as many below", least=1)
    conditions: Conditions = ()
    norm: str = setting("none", "normalisation", choices=("none",))
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, z: Float[Array, "B Z"], condition: Values = None, train: bool = False
    ) -> Float[Array, "B H W C"]:
        """Latents -> images in [-1, 1]."""
        if self.norm != "none":
            raise InputError(f"model.generator.norm={self.norm!r}: convnet knows none")
        count, (height, width) = stages(self.shape), base(self.shape)
        if self.conditions:
            asked = Embed(self.conditions, z.shape[-1], nn.initializers.normal(1.0))(condition)
            z = jnp.concatenate([z, asked], -1)
        x = nn.Dense(height * width * 2 * self.width, kernel_init=_he, dtype=self.dtype)(z)
        x = nn.leaky_relu(x, _SLOPE).reshape(-1, height, width, 2 * self.width)
        for stage in range(1, count + 1):
            channels = self.width if stage == count else 2 * self.width
            x = Conv(channels, (3, 3), kernel_init=_he, dtype=self.dtype)(up(x))
            x = block(nn.leaky_relu(x, _SLOPE))
        x = Conv(self.shape[2], (3, 3), kernel_init=_linear, dtype=self.dtype)(x)
        return jnp.tanh(x.astype(jnp.float32))


class Discriminator(nn.Module):
    """The mirror image: conv3, then [leaky ReLU, mean of 2 x 2, conv3] a stage, leaky ReLU, linear."""

    shape: Shape
    width: int = setting(32, "channels at the full side, twice as many below", least=1)
    conditions: Conditions = ()
    norm: str = setting("none", "normalisation", choices=("none",))
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "B H W C"], condition: Values = None, train: bool = False
    ) -> Float[Array, " B"]:
        """Images in [-1, 1] -> logits."""
        if self.norm != "none":
            raise InputError(f"model.discriminator.norm={self.norm!r}: convnet knows none")
        conv = functools.partial(Conv, kernel_size=(3, 3), kernel_init=_he, dtype=self.dtype)
        x = block(nn.leaky_relu(conv(self.width)(images), _SLOPE))
        for _ in range(stages(self.shape)):
            x = block(nn.leaky_relu(conv(2 * self.width)(down(x)), _SLOPE))
        x = x.astype(jnp.float32).reshape(x.shape[0], -1)
        logits = nn.Dense(1, kernel_init=_linear)(x)[:, 0]
        if self.conditions:
            logits += (Embed(self.conditions, x.shape[-1], _linear)(condition) * x).sum(-1)
        return logits
