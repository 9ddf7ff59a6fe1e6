"""The relaxed categorical of DALL-E's dVAE (Ramesh et al. 2021, section 2.1; Jang et al. 2017; Maddison et al. 2017).

The encoder says the logits l of q(code | x) at each place. While training the decoder reads

    y = softmax((l + g) / temperature),   g Gumbel noise,

a point of the simplex that becomes a corner as the temperature falls; after it the corner of the likeliest code. The
prior is uniform, so KL(q || p) = log K - H(q), between 0 and log K. The table of embeddings is the first layer of the
decoder, which is linear and is told no more than y.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gen_jax.quantizers.quantizer import Quantized, Quantizer


def relaxed(logits: Float[Array, "*any K"], noise: Float[Array, "*any K"], temperature) -> Float[Array, "*any K"]:
    """softmax((logits + noise) / temperature); with Gumbel noise a relaxed sample (Jang et al. 2017, eq. 2)."""
    return jax.nn.softmax((logits + noise) / temperature)


def kl_to_uniform(logits: Float[Array, "*any K"]) -> Float[Array, "*any"]:
    """KL(softmax(logits) || uniform) = log K - H, in [0, log K] nats."""
    log_q = jax.nn.log_softmax(logits)
    return (jnp.exp(log_q) * log_q).sum(-1) + jnp.log(float(logits.shape[-1]))


def quantizer(size: int) -> Quantizer:
    """The quantiser of `size` codes, whose encoder says one logit for each. Its term is `kl`, nats an image."""

    def quantize(codebook, raw, keys, temperature):
        # Mode "low" of JAX's Gumbel noise ends near 16 and would do; what is drawn here is never compared with a table.
        noise = jax.vmap(lambda key: jax.random.gumbel(key, raw.shape[1:]))(keys)
        terms = {"kl": kl_to_uniform(raw).sum((1, 2))}
        return Quantized(relaxed(raw, noise, temperature), likeliest(codebook, raw), terms)

    def likeliest(codebook, raw):
        return raw.argmax(-1).astype(jnp.int32)

    return Quantizer(
        size=size,
        channels=size,
        quantize=quantize,
        codes=likeliest,
        embed=lambda codebook, codes: jax.nn.one_hot(codes, size),
    )
