"""Bounds on log p(x), in nats, to be maximised; negate them for a loss. No function raises."""

import jax.numpy as jnp
from jax.nn import logsumexp
from jaxtyping import Array, Float
from jaxtyping import ArrayLike as Like


def elbo(log_likelihood: Float[Array, " B"], kl: Float[Array, " B"], beta: Float[Like, ""] = 1.0) -> Float[Array, " B"]:
    """E_q[log p(x|z)] - beta KL(q(z|x) || p(z)) (Kingma & Welling 2014, eq. 3).

    With beta it is the objective of the beta-VAE (Higgins et al. 2017, eq. 4).

    Args:
      log_likelihood: log p(x|z) summed over pixels, at a sample of q(z|x) or averaged over several, [B] nats.
      kl: summed over latent dimensions, [B] nats.
      beta: weight of the KL term, a scalar. Only at 1 (or above) is the result a lower bound on log p(x).

    Returns:
      The bound per example, [B] nats.
    """
    return log_likelihood - beta * kl


def importance_weighted(log_weights: Float[Array, "K B"]) -> Float[Array, " B"]:
    """log 1/K sum_k w_k (Burda et al. 2016, eq. 8): in expectation a lower bound on log p(x), rising with K.

    Args:
      log_weights: log p(x|z_k) + log p(z_k) - log q(z_k|x), z_k ~ q(z|x); samples first, [K, B] nats.

    Returns:
      The bound per example, [B] nats. K = 1 is the sampled ELBO. Its gradient is that of eq. 13 and 14.
    """
    return logsumexp(log_weights, axis=0) - jnp.log(log_weights.shape[0])


def bits_per_dimension(nats: Float[Like, "..."], dimensions: int) -> Float[Array, "..."]:
    """nats / (dimensions log 2). The sign stays: give -log p(x) for a rate.

    Args:
      nats: of whole images, any shape: -log p of discrete pixel values, or a KL term for its share of that.
      dimensions: H * W * C.

    Returns:
      Bits per dimension, the shape of `nats`.
    """
    return nats / (dimensions * jnp.log(2.0))
