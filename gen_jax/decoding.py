"""How a token is drawn from logits: guidance, temperature, top-k, top-p. Arrays in, arrays out."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from jaxtyping import ArrayLike as Like


def guided(asked: Float[Array, "B V"], free: Float[Array, "B V"], scale: float) -> Float[Array, "B V"]:
    """free + scale * (asked - free): logits given a condition, and given none (Ho & Salimans 2022, on logits).

    At scale 1 these are the conditional logits, at 0 the others; above 1 the condition counts for more than it says.
    """
    return free + scale * (asked - free)


def cut(logits: Float[Array, "B V"], top_k: int = 0, top_p: float = 1.0) -> Float[Array, "B V"]:
    """The logits with unlikely tokens at minus infinity.

    Args:
      top_k: that many of the likeliest stay, and what is as likely as the last of them (Fan et al. 2018); 0: all.
      top_p: of these, the fewest whose probabilities sum to at least that much stay, and what is as likely as the last
        of them (Holtzman et al. 2020); 1: all.
    """
    if top_k:
        least = jax.lax.top_k(logits, min(top_k, logits.shape[-1]))[0][..., -1:]
        logits = jnp.where(logits >= least, logits, -jnp.inf)
    if top_p < 1:
        ordered = -jnp.sort(-logits, -1)
        share = jax.nn.softmax(ordered)
        before = jnp.cumsum(share, -1) - share  # the probability of what is likelier
        before = before.at[..., 0].set(-1.0)  # the likeliest always stays
        least = jnp.where(before < top_p, ordered, jnp.inf).min(-1, keepdims=True)
        logits = jnp.where(logits >= least, logits, -jnp.inf)
    return logits


def draw(keys: Array, logits: Float[Array, "B V"], temperature: Like, top_k: int = 0, top_p: float = 1.0):
    """One token a row: softmax(logits / temperature), cut; at temperature 0 the likeliest.

    Args:
      keys: [B].
      temperature: may be traced.

    Returns:
      int32 [B].
    """
    found = cut(logits / jnp.where(temperature > 0, temperature, 1.0), top_k, top_p)
    # "high": float32 Gumbel noise of the usual kind ends near 16, which no token below a share of 1e-7 overcomes.
    noise = jax.vmap(lambda key: jax.random.gumbel(key, found.shape[1:], found.dtype, mode="high"))(keys)
    return jnp.where(temperature > 0, found + noise, logits).argmax(-1).astype(jnp.int32)


def log_likelihood(logits: Float[Array, "B T V"], tokens: Int[Array, "B T"]) -> Float[Array, "B T"]:
    """log softmax(logits)[token] in nats, of each token."""
    chosen = jnp.take_along_axis(logits, tokens[..., None], -1)[..., 0]
    return chosen - jax.nn.logsumexp(logits, -1)
