"""How networks see what an image is asked for by: every condition as one vector."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.data.condition import Condition
from gen_jax.data.text import PAD
from gen_jax.errors import InputError
from gen_jax.networks.convolution import Conv
from gen_jax.networks.pyramid import down

# What a network is built with (hashable, as Flax wants it), and what it is called with.
Conditions = tuple[tuple[str, Condition], ...]
Values = Mapping[str, Array] | None

zeros = nn.initializers.zeros
_lecun = nn.initializers.lecun_normal()


class Embed(nn.Module):
    """Conditions -> one vector an image: the sum of one embedding each.

    A label is looked up in a table, a caption is the mean of its words' embeddings, speech goes through two
    convolutions over time, an image through a small pyramid, both then through a mean and a dense layer.

    Attributes:
      init: how tables start; with `zeros` every embedding starts at zero, and the network as an unconditional one.
      layers, options: where Dense and Embed come from (Flax, or `spectral`), and what they take beside.
    """

    conditions: Conditions
    size: int
    init: Callable = zeros
    dtype: Any = jnp.float32
    layers: Any = nn
    options: Mapping = nn.FrozenDict()

    @nn.compact
    def __call__(self, condition: Values) -> Float[Array, "B {self.size}"]:
        """The values of `conditions` -> [B, size]."""
        total = 0.0
        for name, about in self.conditions:
            if condition is None or name not in condition:
                raise InputError(f'condition has no "{name}": this model was built with it, so give every image one')
            total += {"label": self._label, "tokens": self._tokens, "audio": self._audio}.get(about.kind, self._image)(
                name, about, condition[name]
            )
        return total

    def _table(self, name, rows):
        return self.layers.Embed(rows, self.size, embedding_init=self.init, dtype=self.dtype, name=name, **self.options)

    def _dense(self, name):
        init = zeros if self.init is zeros else _lecun
        return self.layers.Dense(self.size, kernel_init=init, dtype=self.dtype, name=name, **self.options)

    def _label(self, name, about, label):
        return self._table(name, about.size)(label)

    def _tokens(self, name, about, tokens):
        words = self._table(name, about.size)(tokens)
        there = (tokens != PAD)[..., None].astype(words.dtype)
        return (words * there).sum(1) / jnp.maximum(there.sum(1), 1.0)

    def _audio(self, name, about, audio):
        x = audio.astype(self.dtype)[:, None]  # one row of pixels
        for layer in range(2):
            x = nn.relu(Conv(64, (1, 5), (1, 2), kernel_init=_lecun, dtype=self.dtype, name=f"{name}_{layer}")(x))
        return self._dense(name)(x.mean((1, 2)))

    def _image(self, name, about, image):
        x = 2.0 * image.astype(self.dtype) - 1.0
        for layer in range(2):
            x = nn.relu(Conv(32 << layer, (3, 3), kernel_init=_lecun, dtype=self.dtype, name=f"{name}_{layer}")(x))
            if x.shape[1] % 2 == x.shape[2] % 2 == 0:
                x = down(x)
        return self._dense(name)(x.reshape(x.shape[0], -1))
