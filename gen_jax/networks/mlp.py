"""The fully connected encoder and decoder of the IWAE paper (Burda et al. 2016), one stochastic layer.

Kernels start Glorot uniform, biases at zero. A label is an embedding added to the first hidden layer,
which equals a one-hot label beside the input.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.networks.labels import Condition, labels
from gen_jax.networks.pyramid import Shape

ACTIVATIONS = {"tanh": nn.tanh, "relu": nn.relu, "silu": nn.silu}
_glorot = nn.initializers.glorot_uniform()


def _hidden(module: nn.Module, x, condition):
    """The hidden layers of `module.widths`, built inside its compact call."""
    for layer, width in enumerate(module.widths):
        x = nn.Dense(width, kernel_init=_glorot, dtype=module.dtype)(x)
        if layer == 0 and module.classes:
            embed = nn.Embed(module.classes, width, embedding_init=nn.initializers.zeros, dtype=module.dtype)
            x += embed(labels(condition))
        x = ACTIVATIONS[module.activation](x)
    return x


class Encoder(nn.Module):
    """Images -> mean and log standard deviation of q(z | x)."""

    latent_size: int
    widths: tuple[int, ...] = (200, 200)
    activation: str = "tanh"
    classes: int = 0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, images: Float[Array, "B H W C"], condition: Condition = None
    ) -> tuple[Float[Array, "B Z"], Float[Array, "B Z"]]:
        """Images in [0, 1] -> (mean, log_std)."""
        x = _hidden(self, images.reshape(images.shape[0], -1), condition).astype(jnp.float32)
        mean = nn.Dense(self.latent_size, kernel_init=_glorot, name="mean")(x)
        log_std = nn.Dense(self.latent_size, kernel_init=_glorot, name="log_std")(x)
        return mean, log_std


class Decoder(nn.Module):
    """Latents -> raw parameters of p(x | z), `outputs` of them a pixel and channel.

    The last layer is networks.OUTPUT; its bias [H * W * C * outputs] is the image that z leaves as it is.
    """

    shape: Shape
    widths: tuple[int, ...] = (200, 200)
    activation: str = "tanh"
    outputs: int = 1
    classes: int = 0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Float[Array, "B Z"], condition: Condition = None) -> Float[Array, "B H W C outputs"]:
        x = _hidden(self, z, condition)
        height, width, channels = self.shape
        features = height * width * channels * self.outputs
        x = nn.Dense(features, kernel_init=_glorot, dtype=self.dtype, name="output")(x)
        return x.astype(jnp.float32).reshape(-1, *self.shape, self.outputs)
