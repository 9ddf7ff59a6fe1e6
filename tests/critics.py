"""A small critic for tests of losses."""

import jax
import jax.numpy as jnp


def convolutional(params):
    """A critic of images [B, H, W, 2] with curvature, so that second derivatives are seen: images -> [B]."""

    def critic(x):
        layout = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(x, params["kernel"], (1, 1), "SAME", dimension_numbers=layout)
        return jnp.sum(jnp.tanh(x) * params["head"], axis=(1, 2, 3))

    return critic
