"""Vector quantisation (van den Oord et al. 2017): the nearest of K learned vectors.

    k = argmin_j |z - e_j|,   z_q = e_k,   commitment = |z - sg(e_k)|^2

No gradient moves the codebook. Code j follows the running mean of the latents that are nearest to it (their appendix
A.1), here written without the running sum, with n latents of sum s in this batch:

    N <- decay N + (1 - decay) n,   e <- e + (1 - decay) (s - n e) / N

A code that next to nothing is nearest to is put down anew at a latent of the batch, drawn with probability
proportional to its squared distance from its code (as k-means++ does, Arthur & Vassilvitskii 2007): a blank patch,
which has a code already, is not drawn again. Before the first update N is 0, so that the whole codebook is dead, and
is drawn from data.
"""

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Array, Float, Int

from gen_jax.quantizers.quantizer import Quantized, Quantizer


def nearest(z: Float[Array, "*any D"], codes: Float[Array, "K D"]) -> Int[Array, "*any"]:
    """argmin_j |z - e_j|, the first of several; |z|^2, which all of them share, is left out."""
    products = jnp.matmul(z, codes.T, precision="highest")
    return ((codes**2).sum(-1) - 2.0 * products).argmin(-1).astype(jnp.int32)


def straight_through(z: Float[Array, "*any D"], e: Float[Array, "*any D"]) -> Float[Array, "*any D"]:
    """e, with the gradient of z (Bengio et al. 2013): dz_q / dz = I."""
    return z + stop_gradient(e - z)


def rotation(z: Float[Array, "*any D"], e: Float[Array, "*any D"]) -> Float[Array, "*any D"]:
    """e, as |e| / |z| R z with R the rotation of z onto e, held constant (Fifty et al. 2024, section 4.2).

        R z = z - 2 r r.z + 2 e^ z^.z,   r = (e^ + z^) / |e^ + z^|,   ^ of length one

    So the angle between a gradient and e at the decoder is the one that it has to z at the encoder.
    """
    unit = lambda x: x / jnp.maximum(_norm(x), 1e-6)
    to, fro = (stop_gradient(unit(x)) for x in (e, z))
    r = unit(to + fro)
    dot = lambda a, b: (a * b).sum(-1, keepdims=True)
    turned = z - 2.0 * r * dot(r, z) + 2.0 * to * dot(fro, z)
    return turned * stop_gradient(_norm(e) / jnp.maximum(_norm(z), 1e-6))


ESTIMATORS = {"straight_through": straight_through, "rotation": rotation}


def commitment(z: Float[Array, "B *grid D"], e: Float[Array, "B *grid D"]) -> Float[Array, " B"]:
    """|z - sg(e)|^2, summed over the grid (their eq. 3, third term): it moves the encoder towards the code."""
    return ((z - stop_gradient(e)) ** 2).reshape(len(z), -1).sum(-1)


def moved(
    codes: Float[Array, "K D"], count: Float[Array, " K"], n: Float[Array, " K"], s: Float[Array, "K D"], decay: float
) -> tuple[Float[Array, "K D"], Float[Array, " K"]]:
    """Codes and running counts after a batch with n latents of sum s for each code; the equation of the module."""
    count = decay * count + (1.0 - decay) * n
    return codes + (1.0 - decay) * (s - n[:, None] * codes) / jnp.maximum(count, 1e-9)[:, None], count


def restarted(
    codes: Float[Array, "K D"],
    count: Float[Array, " K"],
    fair: Float[Array, ""],
    least: float,
    z: Float[Array, "N D"],
    away: Float[Array, " N"],
    key: jax.Array,
) -> tuple[Float[Array, "K D"], Float[Array, " K"]]:
    """Codes whose running count is below `least` of the fair share, put down at latents z drawn by their `away`.

    They begin at twice `least`, so that they have log(2) / (1 - decay) updates to be found: 69 at 0.99. Begun at the
    whole fair share it would be 230, through which the codebook drawn from the first batch outlives what the encoder
    said then: on MNIST, with codes of 16 numbers, 9 of 256 were in use until update 230, and now 200 at update 100.
    """
    fresh = z[jax.random.choice(key, len(z), (len(codes),), p=away + 1e-12)]
    dead = count < least * fair
    return jnp.where(dead[:, None], fresh, codes), jnp.where(dead, 2.0 * least * fair, count)


def _norm(x):
    return jnp.linalg.norm(x, axis=-1, keepdims=True)


def quantizer(size: int, width: int, estimator: str, decay: float, restart: float) -> Quantizer:
    """The quantiser of `size` codes of `width` numbers each. Its term is `commitment`.

    Args:
      estimator: one of ESTIMATORS.
      decay: of the running means of the codebook.
      restart: a code is put down anew when fewer latents than this share of the average are nearest to it; 0: never.
    """

    def init(key):
        return {"codes": jax.random.normal(key, (size, width)), "count": jnp.zeros(size)}

    def quantize(codebook, raw, keys, temperature):
        chosen = nearest(raw, codebook["codes"])
        e = codebook["codes"][chosen]
        z = stop_gradient(raw).reshape(-1, width)
        # A product, not a scatter: with the batch over devices, each adds up its own part.
        which = jax.nn.one_hot(chosen.reshape(-1), size)
        sums = {"n": which.sum(0), "s": jnp.matmul(which.T, z, precision="highest")}
        away = ((z - e.reshape(-1, width)) ** 2).sum(-1)
        return Quantized(ESTIMATORS[estimator](raw, e), chosen, {"commitment": commitment(raw, e)}, sums, (z, away))

    def learn(codebook, sums, examples, key):
        n, s = sums["n"], sums["s"]
        codes, count = moved(**codebook, n=n, s=s, decay=decay)
        codes, count = restarted(codes, count, n.sum() / size, restart, *examples, key)
        return {"codes": codes, "count": count}

    return Quantizer(
        size=size,
        channels=width,
        quantize=quantize,
        codes=lambda codebook, raw: nearest(raw, codebook["codes"]),
        embed=lambda codebook, codes: codebook["codes"][codes],
        init=init,
        learn=learn,
    )
