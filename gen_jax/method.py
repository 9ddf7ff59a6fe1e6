"""The types that the whole house speaks: Method, State, Variables, and the metrics that leave a step.

A generative model is a `Method`: a NamedTuple of pure functions over pytrees, as an optax transformation is one. One
loop trains any Method, one evaluator scores any, one sampler draws from any. What a family cannot do is None, and
callers ask for the capability, never for the family.
"""

import dataclasses
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.data.condition import Condition
from gen_jax.data.dataset import Spec
from gen_jax.schedules import Schedule

PyTree = Any
Metrics = Mapping[str, "Mean"]


class Variables(NamedTuple):
    """What inference needs: no optimiser, no critic."""

    params: PyTree
    collections: PyTree


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """Everything that training changes; a checkpoint of it is the whole truth.

    Born under jit only: built eagerly, `average` would share its buffers with `params`, and the
    train step, which donates its state, would donate one buffer twice.

    Attributes:
      step: int32 scalar, the number of completed updates.
      params: parameters by network name.
      collections: whatever else there is, by network name: batch statistics, spectral-norm vectors, the arrays of a
        fitted forest; under "frozen" the Variables of other runs.
      opt_state: optimiser states.
      average: the moving average of the Variables, which sampling and evaluation use; None where none is kept.
    """

    step: jax.Array
    params: PyTree
    collections: PyTree
    opt_state: PyTree
    average: Variables | None


def born(params: PyTree, opt_state: PyTree = (), collections: PyTree = None, average: Variables | None = None) -> State:
    """A State before its first update."""
    return State(jnp.zeros((), jnp.int32), params, collections or {}, opt_state, average)


class Mean(NamedTuple):
    """A metric that can cross jit and be merged: total / count; count 0 where not computed."""

    total: jax.Array
    count: jax.Array


def mean(values: jax.Array) -> Mean:
    """The Mean of per-example values of any shape (one number counts as one example)."""
    return Mean(jnp.sum(values), jnp.asarray(values.size, jnp.float32))


def means(values: Mapping[str, jax.Array]) -> dict[str, Mean]:
    """The Mean of each of some values by name."""
    return {name: mean(value) for name, value in values.items()}


class Resources(NamedTuple):
    """What a State is born from beside its key. Arguments, not closures: a captured array is baked into the program."""

    mean: jax.Array  # float32 [H, W, C], the mean of the training images
    sources: Mapping[str, Variables] = {}  # of the runs that the config names, by section: "source" for `source.run`


class Vocabulary(NamedTuple):
    """What a tokenizer's codes are: int32 [B, *grid] in 0 .. size - 1."""

    size: int
    grid: tuple[int, ...]


class Method(NamedTuple):
    """A generative model (or a classifier) as functions. Only `init` is mandatory.

    Images are float32 [B, H, W, C] in [0, 1] wherever they enter or leave a Method. Conditions are a dict of arrays
    with leading axis B, those that `model.condition` names ({"label": int32 [B]}; {} for an unconditional model).
    `keys` is an array [B] of typed keys, one an image, so that image i does not depend on the batch it is drawn in.
    On another number of devices it is the same but for rounding: one level of 256 in some 20,000 pixels.

    A method learns by `step`, again and again, by `fit`, once, by both (fitted after its last step), or not at all.
    """

    # (key, example batch, resources) -> State.
    init: Callable[..., State]
    # (state, batches, key, hyper, variant) -> (State, Metrics); pure, written for the global batch.
    step: Callable[..., tuple[State, Metrics]] | None = None
    # (state, dataset, key) -> (State, Metrics), on the host: what no gradient trains. The shapes are those of `init`.
    fit: Callable[..., tuple[State, Metrics]] | None = None
    # What `sample` and its like are asked by, by name: those that `model.condition` names.
    conditions: Mapping[str, Condition] = {}
    # Names in params and collections that inference needs; () for all. See `variables_of`.
    inference: tuple[str, ...] = ()
    # Global batches that one step eats (a GAN: critic steps + 1).
    draws: int = 1
    # name -> Schedule; the loop evaluates them at each step and passes the values as `hyper`.
    schedules: Mapping[str, Schedule] = {}
    # step -> static value: lazy regularisation is two compiled steps, chosen on the host.
    variant: Callable[[int], Hashable] = lambda step: None
    # (variables, keys, condition, temperature, **options) -> images.
    sample: Callable[..., jax.Array] | None = None
    # What `sample` can be told besides, by name, with the values it takes where it is not: {"guidance": 1.0}. Static.
    options: Mapping[str, float | int] = {}
    # (variables, keys) -> latents, any pytree with leading axis B, drawn from the prior.
    latents: Callable[..., PyTree] | None = None
    # (variables, images, condition) -> latents.
    encode: Callable[..., PyTree] | None = None
    # (variables, latents, condition) -> images.
    decode: Callable[..., jax.Array] | None = None
    # (variables, images, condition) -> images.
    reconstruct: Callable[..., jax.Array] | None = None
    # (variables, images, mask [B, H, W, 1], keys, condition) -> images: those pixels kept where the mask is 1.
    complete: Callable[..., jax.Array] | None = None
    # The grid of a model that draws in raster order, and so completes no mask but one that keeps what comes first.
    raster: tuple[int, int] | None = None
    # (variables, images, condition) -> what each token sees of the others [B, layers, heads, T, rows, columns].
    attention: Callable[..., jax.Array] | None = None
    # (variables, images) -> {"features": [B, F], "probabilities": [B, K]}: of a classifier.
    features: Callable[..., Mapping[str, jax.Array]] | None = None
    # (variables, images, condition) -> how well each image shows what it is asked for by, [B] in [-1, 1].
    match: Callable[..., jax.Array] | None = None
    # (variables, images, keys [B, K], condition) -> log p(x, z) - log q(z | x) [B, K] nats, of K samples an image.
    log_weights: Callable[..., jax.Array] | None = None
    # (variables, images, condition) -> log p(x) [B] nats, exact.
    log_prob: Callable[..., jax.Array] | None = None
    # (variables, images, keys [B], condition) -> {name: [B] nats}: every named term is evaluated.
    bound: Callable[..., Mapping[str, jax.Array]] | None = None
    # Whether likelihoods are probabilities of pixel values, so that bits/dim mean something, or densities.
    discrete: bool = True
    binary: bool = False  # whether samples are black and white: real images beside them are then binarised too
    # Of a method whose latents are codes.
    vocabulary: Vocabulary | None = None


class Source(NamedTuple):
    """Another run, as a maker sees it; its arrays enter as `Resources.sources` and live in collections["frozen"]."""

    method: Method
    spec: Spec
    variables: Variables  # arrays, or their shapes where a run is opened that holds them itself


def variables_of(method: Method, state: State, average: bool = True) -> Variables:
    """The inference part of a State: of what it averages the average, where that is wanted."""
    own = of_inference(method.inference, state.params, state.collections)
    averaged = state.average if average and state.average is not None else Variables({}, {})
    return Variables(own.params | averaged.params, own.collections | averaged.collections)


def of_inference(names: tuple[str, ...], params: PyTree, collections: PyTree) -> Variables:
    """The Variables with these names only; () for all."""
    keep = lambda tree: {name: tree[name] for name in names if name in tree} if names else tree
    return Variables(keep(params), keep(collections))
