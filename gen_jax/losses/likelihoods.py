"""log p(images | parameters) in nats, summed over every axis but the first: one value per image, [B].

Means and scales are in the units of the images, [0, 1]. Parameters broadcast against the images (one log_std
for all pixels, one per channel, one per pixel), which have the full shape [B, ...]. No function raises.
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, log_softmax, logsumexp
from jaxtyping import Array, Float
from jaxtyping import ArrayLike as Like


def bernoulli(images: Float[Array, " B *event"], logits: Float[Like, "..."]) -> Float[Array, " B"]:
    """x log p + (1 - x) log(1 - p), p = sigmoid(logits) (Kingma & Welling 2014, eq. 11).

    Args:
      images: [B, ...] in {0, 1}. Grey values in between give a cross-entropy, which is no log-likelihood.
      logits: unbounded; finite gradients at +-1e4.

    Returns:
      log p [B], <= 0.
    """
    logits = jnp.broadcast_to(logits, images.shape)
    return _bernoulli(images.reshape(len(images), -1), logits.reshape(len(images), -1))


def gaussian(
    images: Float[Array, " B *event"], mean: Float[Like, "..."], log_std: Float[Like, "..."]
) -> Float[Array, " B"]:
    """Diagonal normal log-density (Kingma & Welling 2014, eq. 12).

    Also the density of latents: gaussian(z, mean, log_std) is log q(z|x), gaussian(z, 0.0, 0.0) is log p(z).

    Args:
      images: [B, ...], any range.
      mean: in the units of the images.
      log_std: log of the standard deviation; float32 squares its inverse, so keep it above -40.

    Returns:
      log p [B]: a density, so of either sign, and not comparable with the likelihood of discrete pixels.
    """
    return _sum(-0.5 * ((images - mean) * jnp.exp(-log_std)) ** 2 - log_std - 0.5 * jnp.log(2.0 * jnp.pi))


def discretized_logistic(
    images: Float[Array, " B *event"],
    mean: Float[Like, "..."],
    log_scale: Float[Like, "..."],
    levels: int = 256,
) -> Float[Array, " B"]:
    """The mass that a logistic gives to the bin of each pixel value (Kingma et al. 2016, section 5.2).

        p(x) = F(x + h) - F(x - h),   F(u) = sigmoid((u - mean) / scale),   h = 1/2 / (levels - 1)

    The bins of 0 and 1 reach to -infinity and +infinity, so that the masses of all levels sum to 1 (Salimans
    et al. 2017, eq. 2, which counts x in levels).

    Args:
      images: [B, ...] in [0, 1], multiples of 1 / (levels - 1): rounded to the nearest, so of zero gradient.
      mean: in the units of the images; finite gradients at +-1e4.
      log_scale: log of the scale in the units of the images. Read as +-30 beyond that, with zero gradient.
      levels: number of pixel values, >= 2.

    Returns:
      log p [B], <= 0, of discrete data: divide by log 2 and the number of dimensions for bits/dim.
    """
    return _sum(_log_bin(images, mean, log_scale, levels))


def discretized_logistic_mixture(
    images: Float[Array, " B *event"],
    logits: Float[Array, "B *event K"],
    means: Float[Array, "B *event K"],
    log_scales: Float[Like, "..."],
    levels: int = 256,
) -> Float[Array, " B"]:
    """Every pixel and channel has its own mixture of K discretised logistics (Salimans et al. 2017, eq. 2).

    The channels are independent given the parameters; the paper's coupling of green and blue is not here.

    Args:
      images: [B, ...] in [0, 1], multiples of 1 / (levels - 1): rounded to the nearest, so of zero gradient.
      logits: [B, ..., K], softmax(logits) are the mixture weights.
      means: [B, ..., K], in the units of the images.
      log_scales: [B, ..., K] or broadcasting to it, as in `discretized_logistic`.
      levels: number of pixel values, >= 2.

    Returns:
      log p [B], <= 0.
    """
    components = _log_bin(images[..., None], means, log_scales, levels)
    return _sum(logsumexp(log_softmax(logits) + components, axis=-1))


TOGETHER = 8  # pixels that share one logarithm


@jax.custom_jvp
def _bernoulli(images: jax.Array, logits: jax.Array) -> jax.Array:
    """sum of x l - max(l, 0) - log(1 + exp(-|l|)) over the pixels of each row.

    A logarithm is the dear part on a CPU. Its arguments lie between 1 and 2, so several are multiplied before.
    """
    odd = -images.shape[1] % TOGETHER
    split = lambda x, fill: jnp.split(jnp.pad(x, ((0, 0), (0, odd)), constant_values=fill), TOGETHER, axis=1)
    linear = reduce(jnp.add, split(images * logits - jnp.maximum(logits, 0.0), 0.0))
    product = reduce(jnp.multiply, split(1.0 + jnp.exp(-jnp.abs(logits)), 1.0))
    return _sum(linear - jnp.log(product))


@partial(_bernoulli.defjvp, symbolic_zeros=True)
def _(primals, tangents):
    """The derivatives as they are on paper: x - p by a logit, l by a pixel."""
    images, logits = primals
    slopes = logits, images - jax.nn.sigmoid(logits)
    zero = jax.custom_derivatives.SymbolicZero
    moved = [_sum(slope * change) for slope, change in zip(slopes, tangents, strict=True) if type(change) is not zero]
    return _bernoulli(images, logits), sum(moved)


def _sum(terms: jax.Array) -> jax.Array:
    """The sum over every axis but the first, as a product with ones.

    On a CPU XLA computes what it sums inside the sum, one value at a time; what it multiplies it computes
    beforehand, eight at a time. That makes a likelihood 2.5 times faster (docs/performance.md).
    """
    flat = terms.reshape(len(terms), -1)
    return jnp.matmul(flat, jnp.ones(flat.shape[1], flat.dtype), precision="highest")


def _log_bin(images, mean, log_scale, levels):
    """log[F(x + h) - F(x - h)] per value, without subtracting two numbers that are nearly equal.

    In units of one level, with upper = (k + 1/2 - centre) / scale and lower = (k - 1/2 - centre) / scale,

        sigmoid(upper) - sigmoid(lower) = sigmoid(upper) sigmoid(-lower) (1 - exp(-1 / scale))

    holds exactly, and an edge bin drops the factors of its infinite end: no logarithm is of a difference.
    The index k is a whole number, so the upper end of one bin is bitwise the lower end of the next and the
    masses sum to 1 at any scale, which the ends k / 255 +- 1 / 510 do not in float32.
    """
    k = jnp.round(images * (levels - 1))
    centre = mean * (levels - 1)
    inverse_scale = jnp.exp(-jnp.clip(log_scale, -30.0, 30.0)) / (levels - 1)
    below_upper = log_sigmoid((k + 0.5 - centre) * inverse_scale)
    above_lower = log_sigmoid(-(k - 0.5 - centre) * inverse_scale)
    between = jnp.log(-jnp.expm1(-inverse_scale))
    lowest, highest = k == 0, k == levels - 1
    return (
        jnp.where(highest, 0.0, below_upper)
        + jnp.where(lowest, 0.0, above_lower)
        + jnp.where(lowest | highest, 0.0, between)
    )


class Likelihood(NamedTuple):
    """p(x | z) as functions of a decoder's raw output [B, H, W, C] and a log scale [C], as models take it by name."""

    log_prob: Callable  # (images, raw, log_scale) -> [B] nats
    mean: Callable  # raw -> images in [0, 1], the centre of p(x | z)
    inverse_mean: Callable  # images -> raw: where the output bias starts
    scaled: bool  # whether there is a scale
    discrete: bool = True  # probabilities of pixel values, not a density


LIKELIHOODS = {
    "bernoulli": Likelihood(
        lambda images, raw, _: bernoulli(images, raw),
        jax.nn.sigmoid,
        lambda images: jax.scipy.special.logit(jnp.clip(images, 0.001, 0.999)),
        scaled=False,
    ),
    "gaussian": Likelihood(gaussian, lambda raw: jnp.clip(raw, 0.0, 1.0), lambda x: x, scaled=True, discrete=False),
    "discretized_logistic": Likelihood(
        discretized_logistic, lambda raw: jnp.clip(raw, 0.0, 1.0), lambda x: x, scaled=True
    ),
}
