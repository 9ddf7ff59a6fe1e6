"""An encoder to a grid of vectors and its decoder, of residual blocks: the networks of a tokenizer.

As van den Oord et al. (2017, section 4.1) describe theirs: 4x4 convolutions of stride 2 down to 1 / `factor` of the
sides, residual blocks there, where a convolution costs least, and transposed convolutions up again. `width` channels
in the grid, half as many at twice its sides, and no fewer above. There is no normalisation, so that what an image is
read as does not depend on its batch. Kernels start He normal, the last of each block and of each network Glorot
uniform, biases at zero.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.errors import InputError
from gen_jax.field import setting
from gen_jax.networks.convolution import Conv, ConvTranspose
from gen_jax.networks.mlp import ACTIVATIONS
from gen_jax.networks.pyramid import Shape, block

_glorot = nn.initializers.glorot_uniform()
_he = nn.initializers.he_normal()
# A pixel of a transposed convolution of stride 2 sees only a quarter of the taps.
_he_transpose = nn.initializers.variance_scaling(2.0 * 4, "fan_in", "truncated_normal")


def grid(shape: Shape, factor: int) -> tuple[int, int]:
    """Height and width of the grid of an image of this shape.

    Raises:
      InputError: a factor that is no power of two, a side that it does not divide, or channels other than 1 or 3.
    """
    height, width, channels = shape
    if factor < 2 or factor & (factor - 1):
        raise InputError(f"model.factor={factor}: must be a power of two, at least 2")
    if height % factor or width % factor:
        size = height if height == width else f"({height}, {width})"
        raise InputError(f"data.image_size={size}: must be a multiple of model.factor={factor}; change one of the two")
    if channels not in (1, 3):
        raise InputError(f"data.channels={channels}: must be 1 (grey) or 3 (RGB)")
    return height // factor, width // factor


def _halvings(factor: int) -> int:
    return factor.bit_length() - 1


class Residual(nn.Module):
    """x + conv1(act(conv3(act(x))))."""

    activation: str
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        activation, channels = ACTIVATIONS[self.activation], x.shape[-1]
        y = Conv(channels, (3, 3), kernel_init=_he, dtype=self.dtype)(activation(x))
        return block(x + nn.Dense(channels, kernel_init=_glorot, dtype=self.dtype)(activation(y)))


class Encoder(nn.Module):
    """[conv4 of stride 2, activation] a halving, conv3, residual blocks, activation, conv1."""

    features: int
    factor: int = 4
    width: int = setting(64, "channels in the grid, half as many above it", least=2)
    blocks: int = setting(2, "residual blocks in the grid", least=0)
    activation: str = setting("silu", "activation of all layers", choices=ACTIVATIONS)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "B H W C"]) -> Float[Array, "B h w {self.features}"]:
        """Images in [0, 1] -> float32, `features` numbers a place."""
        grid(images.shape[1:], self.factor)
        activation, halvings = ACTIVATIONS[self.activation], _halvings(self.factor)
        x = 2.0 * images - 1.0
        for stage in range(halvings):
            channels = self.width if stage == halvings - 1 else self.width // 2
            x = block(activation(Conv(channels, (4, 4), (2, 2), kernel_init=_he, dtype=self.dtype)(x)))
        x = block(Conv(self.width, (3, 3), kernel_init=_he, dtype=self.dtype)(x))
        for _ in range(self.blocks):
            x = Residual(self.activation, self.dtype)(x)
        return nn.Dense(self.features, kernel_init=_glorot)(activation(x).astype(jnp.float32))


class Decoder(nn.Module):
    """conv1, conv3, residual blocks, then [activation, transposed conv4 of stride 2] a doubling.

    The last layer is networks.OUTPUT; its bias is [C * outputs].
    """

    shape: Shape
    factor: int = 4
    width: int = setting(64, "channels in the grid, half as many above it", least=2)
    blocks: int = setting(2, "residual blocks in the grid", least=0)
    activation: str = setting("silu", "activation of all layers", choices=ACTIVATIONS)
    outputs: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, latents: Float[Array, "B h w D"]) -> Float[Array, "B H W C outputs"]:
        """What the quantiser made of the grid -> raw parameters of p(x | z), `outputs` a pixel and channel."""
        grid(self.shape, self.factor)
        activation = ACTIVATIONS[self.activation]
        x = nn.Dense(self.width, kernel_init=_glorot, dtype=self.dtype)(latents)
        x = block(Conv(self.width, (3, 3), kernel_init=_he, dtype=self.dtype)(x))
        for _ in range(self.blocks):
            x = Residual(self.activation, self.dtype)(x)
        for _ in range(_halvings(self.factor) - 1):
            x = ConvTranspose(self.width // 2, kernel_init=_he_transpose, dtype=self.dtype)(activation(x))
            x = block(x)
        features = self.shape[2] * self.outputs
        x = ConvTranspose(features, kernel_init=_glorot, dtype=self.dtype, name="output")(activation(x))
        return x.astype(jnp.float32).reshape(-1, *self.shape, self.outputs)
