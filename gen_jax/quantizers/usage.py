"""How much of a codebook is in use."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def codes_used(counts: Float[Array, " K"]) -> Float[Array, ""]:
    """The share of the K codes that were met at all."""
    return (counts > 0).astype(jnp.float32).mean()


def perplexity(counts: Float[Array, " K"]) -> Float[Array, ""]:
    """exp(H) of the codes met so often: between 1, one code only, and K, each as often as any other."""
    shares = counts / counts.sum()
    return jnp.exp(jax.scipy.special.entr(shares).sum())
