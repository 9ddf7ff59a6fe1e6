"""The types that the whole house speaks: State, Variables, Method, and the metrics that leave a step.

A generative model is a `Method`: a NamedTuple of pure functions over pytrees, as an optax
transformation is one. One loop trains any Method, one evaluator scores any, one sampler draws
from any. What a family cannot do is None, and callers ask for the capability, never for the family.
"""

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.schedules import Schedule

PyTree = Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """Everything that training changes; a checkpoint of it is the whole truth.

    Born under jit only: built eagerly, `average` would share its buffers with `params`, and the
    train step, which donates its state, would donate one buffer twice.

    Attributes:
      step: int32 scalar, the number of completed updates.
      params: parameters by network name.
      collections: whatever else a network carries (batch statistics, spectral-norm vectors),
        by network name and Flax collection.
      opt_state: optimiser states by network name.
      average: the moving average that sampling and evaluation use, {"params": ..., "collections":
        ...} with the networks that inference needs; empty where a method keeps none.
    """

    step: jax.Array
    params: PyTree
    collections: PyTree
    opt_state: PyTree
    average: PyTree


class Variables(NamedTuple):
    """The inference part of a State: no optimiser, no critic."""

    params: PyTree
    collections: PyTree


class Mean(NamedTuple):
    """A metric that can cross jit and be merged: total / count; count 0 where not computed."""

    total: jax.Array
    count: jax.Array


def mean(values: jax.Array) -> Mean:
    """The Mean of per-example values of any shape (one number counts as one example)."""
    return Mean(jnp.sum(values), jnp.asarray(values.size, jnp.float32))


Metrics = Mapping[str, Mean]


class Method(NamedTuple):
    """A generative model (or a classifier) as functions. Only `init` and `variables` are mandatory.

    Images are float32 [B, H, W, C] in [0, 1] wherever they enter or leave a Method, except inside
    a training batch, which holds the uint8 images of the data set. Conditions are a dict of arrays
    with leading axis B ({"label": int32 [B]}), or None. `keys` is an array [B] of typed keys, one an
    image, so that image i depends neither on the batch it is drawn in nor on the number of devices.
    """

    # (key, example batch, resources) -> State. Resources (the mean of the training images, another
    # run's Variables, ...) are arguments and not closures: a captured array is baked into the program.
    init: Callable[..., State]
    # (state, average=True) -> Variables.
    variables: Callable[..., Variables]
    # (state, batches, key, hyper, variant) -> (State, Metrics); pure, written for the global batch.
    step: Callable[..., tuple[State, Metrics]] | None = None
    # Global batches that one step eats (a GAN: critic steps + 1).
    draws: int = 1
    # name -> Schedule; the loop evaluates them at state.step and passes the values as `hyper`.
    schedules: Mapping[str, Schedule] = {}
    # step -> static value: lazy regularisation is two compiled steps, chosen on the host.
    variant: Callable[[int], Hashable] = lambda step: None
    # (variables, keys, condition=None, temperature=1.0) -> images.
    sample: Callable[..., jax.Array] | None = None
    # (variables, keys) -> latents [B, Z], drawn from the prior.
    latents: Callable[..., jax.Array] | None = None
    # (variables, images) -> latents [B, Z].
    encode: Callable[..., jax.Array] | None = None
    # (variables, latents, condition=None) -> images.
    decode: Callable[..., jax.Array] | None = None
    # (variables, images) -> images.
    reconstruct: Callable[..., jax.Array] | None = None
    # (variables, images) -> {"features": [B, F], "probabilities": [B, K]}: of a classifier.
    features: Callable[..., Mapping[str, jax.Array]] | None = None
    # (variables, images, keys [B], samples) -> [B] nats.
    log_likelihood: Callable[..., jax.Array] | None = None
    # (variables, images, keys [B]) -> {name: [B] nats}, the named terms of the bound.
    bound: Callable[..., Mapping[str, jax.Array]] | None = None
    # Whether likelihoods are probabilities of pixel values, so that bits/dim mean something, or densities.
    discrete: bool = True
