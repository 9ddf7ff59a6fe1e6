"""How a transformer sees what an image is asked for by: every condition as some vectors in front of the image's."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from gen_jax.errors import InputError
from gen_jax.networks.conditions import Conditions, Values
from gen_jax.networks.convolution import Conv
from gen_jax.networks.pyramid import Shape

FRAMES = 4  # of speech that one vector stands for
PATCHES = 64  # the most vectors that an image becomes

_normal = nn.initializers.normal(0.02)
_lecun = nn.initializers.lecun_normal()


class Prefix(nn.Module):
    """Conditions -> vectors [B, P, size]: those of one condition after those of another.

    A label is one vector and a caption one a word, `<pad>` included, from tables. Speech is one for every four frames,
    by two convolutions over time; an image or a mask one a patch, by one dense layer over its pixels. Each kind but a
    label has learned positions. An image that nothing asks for (`dropped`) has learned vectors in the place of all.
    """

    conditions: Conditions
    size: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, condition: Values, dropped: Bool[Array, " B"] | None = None) -> Float[Array, "B P {self.size}"]:
        """The values of `conditions`, and of which images they are withheld (None: of none)."""
        kinds = {"label": self._label, "tokens": self._tokens, "audio": self._audio}
        parts = []
        for name, about in self.conditions:
            if condition is None or name not in condition:
                raise InputError(f'condition has no "{name}": this model was built with it, so give every image one')
            parts.append(kinds.get(about.kind, self._patches)(name, about, condition[name]))
        found = jnp.concatenate(parts, 1)
        nothing = self.param("nothing", _normal, found.shape[1:]).astype(found.dtype)
        return found if dropped is None else jnp.where(dropped[:, None, None], nothing, found)

    def _placed(self, name, found):
        return found + self.param(f"{name}_places", _normal, found.shape[1:]).astype(found.dtype)

    def _table(self, name, rows):
        return nn.Embed(rows, self.size, embedding_init=_normal, dtype=self.dtype, name=name)

    def _label(self, name, about, label):
        return self._table(name, about.size)(label)[:, None]

    def _tokens(self, name, about, tokens):
        return self._placed(name, self._table(name, about.size)(tokens))

    def _audio(self, name, about, audio):
        x = audio.astype(self.dtype)[:, None]  # one row of pixels
        for layer in range(2):
            x = nn.relu(
                Conv(self.size, (1, 5), (1, 2), kernel_init=_lecun, dtype=self.dtype, name=f"{name}_{layer}")(x)
            )
        return self._placed(name, x[:, 0])

    def _patches(self, name, about, image):
        side = patch(about.shape)
        rows, height, width, channels = image.shape
        x = (2.0 * image.astype(self.dtype) - 1.0).reshape(rows, height // side, side, width // side, side, channels)
        x = x.swapaxes(2, 3).reshape(rows, -1, side * side * channels)
        return self._placed(name, nn.Dense(self.size, kernel_init=_lecun, dtype=self.dtype, name=name)(x))


def patch(shape: Shape) -> int:
    """The side of the patches that an image of this shape is seen in: the least that makes at most PATCHES of it."""
    height, width, _ = shape
    sides = [side for side in range(1, min(height, width) + 1) if height % side == width % side == 0]
    return next((side for side in sides if height * width <= PATCHES * side * side), sides[-1])


def length(conditions: Conditions) -> int:
    """P, the vectors that these conditions become."""
    total = 0
    for _, about in conditions:
        if about.kind == "label":
            total += 1
        elif about.kind == "tokens":
            total += about.shape[0]
        elif about.kind == "audio":
            total += (about.shape[0] + FRAMES - 1) // FRAMES  # two convolutions halve the frames, rounded up
        else:
            total += about.shape[0] * about.shape[1] // patch(about.shape) ** 2
    return total
