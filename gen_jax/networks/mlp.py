"""The fully connected encoder and decoder of the IWAE paper (Burda et al. 2016), one stochastic layer.

Kernels start Glorot uniform, biases at zero. A condition is an embedding added to the first
hidden layer; of a label this equals a one-hot vector beside the input.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.field import setting
from gen_jax.networks.conditions import Conditions, Embed, Values
from gen_jax.networks.pyramid import Shape, block

ACTIVATIONS = {"tanh": nn.tanh, "relu": nn.relu, "silu": nn.silu}
_glorot = nn.initializers.glorot_uniform()


def _hidden(module: nn.Module, x, condition):
    """The hidden layers of `module.widths`, built inside its compact call."""
    for layer, width in enumerate(module.widths):
        x = nn.Dense(width, kernel_init=_glorot, dtype=module.dtype)(x)
        if layer == 0 and module.conditions:
            x += Embed(module.conditions, width, dtype=module.dtype)(condition)
        x = block(ACTIVATIONS[module.activation](x))
    return x


class Encoder(nn.Module):
    """Images -> one vector of latents a head: mean and log standard deviation of q(z | x), or what `heads` names."""

    latent_size: int
    widths: tuple[int, ...] = setting((200, 200), "units of each hidden layer", least=1)
    activation: str = setting("tanh", "activation of the hidden layers", choices=ACTIVATIONS)
    heads: tuple[str, ...] = ("mean", "log_std")
    conditions: Conditions = ()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "B H W C"], condition: Values = None) -> tuple[Float[Array, "B Z"], ...]:
        """Images in [0, 1] -> (mean, log_std), or one array for each of `heads`."""
        x = _hidden(self, images.reshape(images.shape[0], -1), condition).astype(jnp.float32)
        return tuple(nn.Dense(self.latent_size, kernel_init=_glorot, name=head)(x) for head in self.heads)


class Decoder(nn.Module):
    """Latents -> raw parameters of p(x | z), `outputs` of them a pixel and channel.

    The last layer is networks.OUTPUT; its bias [H * W * C * outputs] is the image that z leaves as it is.
    """

    shape: Shape
    widths: tuple[int, ...] = setting((200, 200), "units of each hidden layer", least=1)
    activation: str = setting("tanh", "activation of the hidden layers", choices=ACTIVATIONS)
    outputs: int = 1
    conditions: Conditions = ()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Float[Array, "B Z"], condition: Values = None) -> Float[Array, "B H W C outputs"]:
        x = _hidden(self, z, condition)
        height, width, channels = self.shape
        features = height * width * channels * self.outputs
        x = nn.Dense(features, kernel_init=_glorot, dtype=self.dtype, name="output")(x)
        return x.astype(jnp.float32).reshape(-1, *self.shape, self.outputs)
