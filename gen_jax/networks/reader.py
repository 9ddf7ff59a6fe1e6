"""What an image is asked for by as one vector, of a small transformer that every word sees the others in.

`conditions.Embed` takes the mean of the words: to it "a red circle above a blue square" and "a blue circle above a red
square" are one. Here words have places and attend to each other first.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.field import setting
from gen_jax.networks.conditions import Conditions, Values
from gen_jax.networks.prefix import Prefix
from gen_jax.networks.transformer import Block


class Reader(nn.Module):
    """Conditions -> one vector each image: the mean over the places of the last layer, then a dense layer."""

    size: int
    conditions: Conditions
    layers: int = setting(2, "layers", least=1)
    width: int = setting(128, "entries of a vector inside", least=4)
    heads: int = setting(4, "heads of attention; they divide the width", least=1)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, condition: Values) -> Float[Array, "B {self.size}"]:
        """The values of `conditions` -> [B, size], float32."""
        x = Prefix(self.conditions, self.width, self.dtype, name="prefix")(condition)
        every = jnp.ones((x.shape[1], x.shape[1]), bool)
        for layer in range(self.layers):
            x, _ = Block(self.width, self.heads, False, self.layers, 0.0, self.dtype, name=f"block_{layer}")(
                x, every, None
            )
        x = nn.LayerNorm(use_bias=False, dtype=self.dtype)(x).mean(1).astype(jnp.float32)
        return nn.Dense(self.size)(x)
