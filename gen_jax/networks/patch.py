"""A critic of patches (Isola et al. 2017): a logit for each of them, so that it judges texture and leaves the whole be.

`depth` 4x4 convolutions of stride 2, each with twice the channels of the one before, then conv3 to the logits; leaky
ReLU in between. At depth 2 a logit sees 18 x 18 pixels. There is no normalisation, so that what an image is read as
does not depend on its batch. Kernels start He normal, the last at zero: at first no patch is more likely real.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.field import setting
from gen_jax.networks.convolution import Conv
from gen_jax.networks.pyramid import block

_SLOPE = 0.2
_he = nn.initializers.variance_scaling(2 / (1 + _SLOPE**2), "fan_in", "truncated_normal")


class Critic(nn.Module):
    """Images -> a logit a patch."""

    width: int = setting(32, "channels of the first layer, twice as many in each further one", least=1)
    depth: int = setting(2, "halvings of the sides", least=1, most=5)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "B H W C"]) -> Float[Array, "B h w"]:
        """Images in [0, 1] -> float32 logits; h and w are H and W over 2 ** depth, rounded up."""
        x = 2.0 * images - 1.0
        for stage in range(self.depth):
            x = Conv(self.width << stage, (4, 4), (2, 2), kernel_init=_he, dtype=self.dtype)(x)
            x = block(nn.leaky_relu(x, _SLOPE))
        return Conv(1, (3, 3), kernel_init=nn.initializers.zeros, dtype=jnp.float32)(x.astype(jnp.float32))[..., 0]
