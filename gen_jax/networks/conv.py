"""A convolutional encoder and decoder: 4x4 convolutions of stride 2 down, their transposes up.

`width` channels after the first halving, doubled at every further one; between latents and feature maps one
dense layer of `hidden` units, without which the parts of a sampled image do not know of each other. Kernels start
He normal, the last layers Glorot uniform, biases at zero. A condition is an embedding added to the dense layer.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.field import setting
from gen_jax.networks.conditions import Conditions, Embed, Values
from gen_jax.networks.convolution import Conv, ConvTranspose
from gen_jax.networks.mlp import ACTIVATIONS
from gen_jax.networks.pyramid import Shape, base, block, stages

_glorot = nn.initializers.glorot_uniform()
_he = nn.initializers.he_normal()
# A pixel of a transposed convolution of stride 2 sees only a quarter of the taps.
_he_transpose = nn.initializers.variance_scaling(2.0 * 4, "fan_in", "truncated_normal")


def _hidden(module: nn.Module, x, condition):
    """The dense layer between latents and feature maps, built inside the compact call of `module`."""
    x = nn.Dense(module.hidden, kernel_init=_he, dtype=module.dtype)(x)
    if module.conditions:
        x += Embed(module.conditions, module.hidden, dtype=module.dtype)(condition)
    return ACTIVATIONS[module.activation](x)


class Encoder(nn.Module):
    """Images -> one vector of latents a head: mean and log standard deviation of q(z | x), or what `heads` names."""

    latent_size: int
    width: int = setting(32, "channels after the first halving, doubled at every further one", least=1)
    hidden: int = setting(256, "units of the dense layer between latents and feature maps", least=1)
    activation: str = setting("silu", "activation of all layers", choices=ACTIVATIONS)
    heads: tuple[str, ...] = ("mean", "log_std")
    conditions: Conditions = ()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "B H W C"], condition: Values = None) -> tuple[Float[Array, "B Z"], ...]:
        """Images in [0, 1] -> (mean, log_std), or one array for each of `heads`."""
        activation = ACTIVATIONS[self.activation]
        x = images
        for stage in range(stages(images.shape[1:])):
            x = Conv(self.width << stage, (4, 4), (2, 2), kernel_init=_he, dtype=self.dtype)(x)
            x = block(activation(x))
        x = _hidden(self, x.reshape(x.shape[0], -1), condition).astype(jnp.float32)
        return tuple(nn.Dense(self.latent_size, kernel_init=_glorot, name=head)(x) for head in self.heads)


class Decoder(nn.Module):
    """Latents -> raw parameters of p(x | z), `outputs` of them a pixel and channel.

    The last layer is networks.OUTPUT; its bias is [C * outputs].
    """

    shape: Shape
    width: int = setting(32, "channels after the first halving, doubled at every further one", least=1)
    hidden: int = setting(256, "units of the dense layer between latents and feature maps", least=1)
    activation: str = setting("silu", "activation of all layers", choices=ACTIVATIONS)
    outputs: int = 1
    conditions: Conditions = ()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Float[Array, "B Z"], condition: Values = None) -> Float[Array, "B H W C outputs"]:
        activation = ACTIVATIONS[self.activation]
        count, (height, width) = stages(self.shape), base(self.shape)
        channels = self.width << (count - 1)
        x = nn.Dense(height * width * channels, kernel_init=_he, dtype=self.dtype)(_hidden(self, z, condition))
        x = block(activation(x)).reshape(-1, height, width, channels)
        for stage in reversed(range(count - 1)):
            x = ConvTranspose(self.width << stage, kernel_init=_he_transpose, dtype=self.dtype)(x)
            x = block(activation(x))
        features = self.shape[2] * self.outputs
        x = ConvTranspose(features, kernel_init=_glorot, dtype=self.dtype, name="output")(x)
        return x.astype(jnp.float32).reshape(-1, *self.shape, self.outputs)
