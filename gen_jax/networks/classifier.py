"""A small classifier whose last hidden layer serves as features: what generated images are measured with.

`width` channels at the full side, doubled by every stage; then one dense layer of `features` units, the features,
and the logits. No normalisation, so that an image's features do not depend on its batch. Kernels start He normal.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.field import setting
from gen_jax.networks.convolution import Conv
from gen_jax.networks.pyramid import block, down, stages

_he = nn.initializers.he_normal()


class Classifier(nn.Module):
    """[conv3, ReLU, mean over 2 x 2 pixels] a stage, dense, ReLU, dense."""

    classes: int
    width: int = setting(32, "channels at the full side, doubled by every stage", least=1)
    features: int = setting(128, "units of the last hidden layer, the features", least=1)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "B H W C"]) -> tuple[Float[Array, "B F"], Float[Array, "B K"]]:
        """Images in [0, 1] -> (features, logits)."""
        x = 2.0 * images - 1.0
        for stage in range(stages(images.shape[1:])):
            x = Conv(self.width << stage, (3, 3), kernel_init=_he, dtype=self.dtype)(x)
            x = block(down(nn.relu(x)))
        x = nn.Dense(self.features, kernel_init=_he, dtype=self.dtype)(x.reshape(x.shape[0], -1))
        features = nn.relu(x.astype(jnp.float32))
        return features, nn.Dense(self.classes)(features)
