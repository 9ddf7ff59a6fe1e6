"""Pixels drawn without any idea of shapes: the floors under every score.

    uniform    every pixel is any of its levels:               p(x) = prod_i 1 / L
    marginal   every pixel from its own histogram:             p(x) = prod_i p_i(x_i)
    gaussian   all pixels from one Gaussian, then clipped:     x ~ N(m, S + r 1), m and S the data's mean and covariance

L is 256, or 2 where the data is binary (then `marginal` is the mean of each pixel, as a coin). Nothing is trained:
counts and moments are taken once, in exact arithmetic. A generator whose score is no better has learned no more than
how bright pixels are, or how they go in pairs.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import randomness
from gen_jax.data.condition import Condition
from gen_jax.data.dataset import Dataset, Spec, seen
from gen_jax.errors import InputError
from gen_jax.field import Field
from gen_jax.method import Method, State, born
from gen_jax.methods import sections

KINDS = ("uniform", "marginal", "gaussian")
FIELDS = {
    "model.kind": Field("marginal", "what pixels are drawn from", choices=KINDS),
    "model.condition": Field((), "label: a histogram or a Gaussian for each class", choices=("label",)),
}

MOST = 2**24  # numbers that a histogram or a covariance may have: 64 MiB
RIDGE = 1 / 12 / 255**2  # the variance of what rounding to 256 levels takes away
BATCH = 500


def make(config, spec: Spec) -> Method:
    """The random pixels of a config; refuses images too large to count."""
    kind, shape = config.model.kind, spec.shape
    conditions = dict(sections.conditions(config, spec))
    levels = 2 if spec.binary else 256
    if kind == "uniform":
        if conditions:
            raise InputError("model.condition=label: model.kind=uniform is the same for all; leave it out")
        return uniform(shape, levels)
    numbers = _groups(conditions) * math.prod(shape) * (levels if kind == "marginal" else math.prod(shape))
    if numbers > MOST:
        raise InputError(
            f"model.kind={kind}: images of {'x'.join(map(str, shape))} would need {numbers:,} numbers,"
            f" {MOST:,} are the most; set a smaller data.image_size, or model.kind=uniform"
        )
    return marginal(shape, levels, conditions) if kind == "marginal" else gaussian(shape, conditions)


def uniform(shape: tuple[int, int, int], levels: int) -> Method:
    """Every level of every pixel, evenly from 0 to 1, is as probable as any other, at any temperature."""

    def init(key, example, resources):
        return born({})

    def sample(variables, keys, condition, temperature):
        return jax.vmap(lambda key: jax.random.randint(key, shape, 0, levels))(keys) / (levels - 1)

    def log_prob(variables, images, condition):
        return jnp.full(len(images), -math.prod(shape) * math.log(levels))

    return Method(init, sample=sample, log_prob=log_prob, binary=levels == 2)


def marginal(shape: tuple[int, int, int], levels: int, conditions: Mapping[str, Condition]) -> Method:
    """Pixels that know nothing of each other, each with a histogram, one a class where there is a label.

    One image's worth of all levels in equal parts is added to the counts, so that a level that a pixel never had in n
    images has the probability 1 / (n + 1) / levels; a class without an image is uniform.
    """
    table = (_groups(conditions), math.prod(shape), levels)

    def init(key, example, resources):
        return born({}, collections={"pixels": {"log_p": jnp.full(table, -math.log(levels))}})

    def fit(state, dataset, key):
        counts = np.full(math.prod(table), 1 / levels)
        for images, group in _images(dataset, key, conditions):
            level = images // (255 // (levels - 1))
            place = group[:, None] * table[1] + np.arange(table[1])
            counts += np.bincount((place * levels + level).ravel(), minlength=len(counts))
        counts = counts.reshape(table)
        log_p = np.log(counts / counts.sum(-1, keepdims=True)).astype(np.float32)
        return State(state.step, {}, {"pixels": {"log_p": log_p}}, (), None), {}

    def sample(variables, keys, condition, temperature):
        """Levels are drawn from p ** (1 / temperature), at 0 the most frequent one."""
        log_p = variables.collections["pixels"]["log_p"]
        edges = jnp.cumsum(jax.nn.softmax(log_p / jnp.maximum(temperature, 1e-6)), -1)[..., :-1]
        numbers = jax.vmap(lambda key: jax.random.uniform(key, (table[1],)))(keys)
        level = _of_class(jax.vmap(partial(jnp.searchsorted, side="right")), edges, numbers, condition)
        return level.reshape(-1, *shape) / (levels - 1)

    def log_prob(variables, images, condition):
        level = jnp.rint(images.reshape(-1, table[1], 1) * (levels - 1)).astype(jnp.int32)
        found = _of_class(
            partial(jnp.take_along_axis, axis=1), variables.collections["pixels"]["log_p"], level, condition
        )
        return found.sum((1, 2))

    return Method(init, fit=fit, conditions=conditions, sample=sample, log_prob=log_prob, binary=levels == 2)


def gaussian(shape: tuple[int, int, int], conditions: Mapping[str, Condition]) -> Method:
    """Pixels from the Gaussian of the data's mean and covariance, one a class where there is a label.

    RIDGE is added to every variance, so that a pixel that never changes has a density. Likelihoods are densities of
    pixels in [0, 1] before they are clipped. A class without an image is black.
    """
    groups, size = _groups(conditions), math.prod(shape)

    def init(key, example, resources):
        mean, factor = jnp.zeros((groups, size)), jnp.broadcast_to(jnp.eye(size), (groups, size, size))
        return born({}, collections={"pixels": {"mean": mean, "factor": factor}})

    def fit(state, dataset, key):
        # Sums of whole numbers below 2^53: exact, in whatever order.
        count, total, products = np.zeros((groups, 1)), np.zeros((groups, size)), np.zeros((groups, size, size))
        for images, group in _images(dataset, key, conditions):
            for i in np.unique(group):
                rows = images[group == i].astype(np.float64)
                count[i] += len(rows)
                total[i] += rows.sum(0)
                products[i] += rows.T @ rows
        count = np.maximum(count, 1)
        mean = total / count
        covariance = (products / count[..., None] - mean[:, :, None] * mean[:, None]) / 255**2
        factor = np.linalg.cholesky(covariance + RIDGE * np.eye(size))
        found = {"mean": (mean / 255).astype(np.float32), "factor": factor.astype(np.float32)}
        return State(state.step, {}, {"pixels": found}, (), None), {}

    def sample(variables, keys, condition, temperature):
        """The temperature scales the deviation from the mean."""
        mean, factor = (variables.collections["pixels"][name] for name in ("mean", "factor"))
        # Every class's factor meets every row, zeros but for its own: to gather one an image would copy them all.
        own = jax.nn.one_hot(condition["label"], groups) if condition else jnp.ones((len(keys), 1))
        noise = own[:, :, None] * randomness.normal(keys, (size,))[:, None]
        images = own @ mean + temperature * jnp.einsum("kij,bkj->bi", factor, noise)
        return jnp.clip(images, 0.0, 1.0).reshape(-1, *shape)

    def log_prob(variables, images, condition):
        mean, factor = (variables.collections["pixels"][name] for name in ("mean", "factor"))

        def density(mean, factor):
            away = images.reshape(len(images), size) - mean
            whitened = jax.scipy.linalg.solve_triangular(factor, away.T, lower=True)
            return -0.5 * (whitened**2).sum(0) - jnp.log(jnp.diagonal(factor) * math.sqrt(2 * math.pi)).sum()

        found = jax.vmap(density)(mean, factor)
        return found[condition["label"], jnp.arange(len(images))] if condition else found[0]

    return Method(init, fit=fit, conditions=conditions, sample=sample, log_prob=log_prob, discrete=False)


def _groups(conditions) -> int:
    return conditions["label"].size if conditions else 1


def _of_class(function: Callable, table: jax.Array, values: jax.Array, condition) -> jax.Array:
    """`function` of each image's values [B, ...] and of what its class, or the only group, has of a table [G, ...]."""
    if condition:
        return jax.vmap(function)(table[condition["label"]], values)
    return jax.vmap(partial(function, table[0]))(values)


def _images(dataset: Dataset, key: jax.Array, conditions) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every image once, as a model sees it: pixels int [B, H * W * C] from 0 to 255, and its group [B]."""
    for batch in dataset.sequential(BATCH):
        there, batch = batch["mask"] > 0, seen(dataset, batch, key)
        group = batch["condition"]["label"] if conditions else np.zeros(len(there), np.int64)
        yield batch["image"][there].reshape(there.sum(), -1).astype(np.int64), group[there]
