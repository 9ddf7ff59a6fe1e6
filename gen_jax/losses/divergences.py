"""Divergences between the distributions of latents, in nats.

They stay per dimension, because free bits, active units and per-group curves need the terms; the sum over the
latent dimensions is the caller's.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float
from jaxtyping import ArrayLike as Like


def gaussian_kl(
    mean: Float[Array, " B *Z"],
    log_std: Float[Array, " B *Z"],
    prior: tuple[Float[Like, "..."], Float[Like, "..."]] | None = None,
) -> Float[Array, " B *Z"]:
    """KL(q || p) of normal distributions, dimension by dimension (Kingma & Welling 2014, appendix B).

        log(s_p / s_q) + (s_q^2 + (m_q - m_p)^2) / (2 s_p^2) - 1/2

    Args:
      mean: of q, [B, Z] (or any shape with leading B: hierarchical latents keep theirs).
      log_std: log of the standard deviation of q (not of its variance), the shape of `mean`.
      prior: (mean, log_std) of p, broadcasting to `mean`; None is the standard normal.

    Returns:
      Nats per dimension [B, Z], >= 0 but for rounding, exactly 0 at q = p. No errors raised.
    """
    prior_mean, prior_log_std = (0.0, 0.0) if prior is None else prior
    log_ratio = log_std - prior_log_std
    distance = (mean - prior_mean) * jnp.exp(-prior_log_std)
    return 0.5 * (distance**2 + jnp.expm1(2.0 * log_ratio)) - log_ratio
