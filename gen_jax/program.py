"""A config made runnable: its data, its Method, and one compiled, sharded update.

`build` is what the loop, the tests of sharding and the benchmarks share.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from gen_jax import data, methods, randomness
from gen_jax.data.dataset import Dataset, Spec
from gen_jax.data.loader import prefetch
from gen_jax.errors import InputError
from gen_jax.method import Mean, Method, State
from gen_jax.runtime import mesh as meshes


class Program(NamedTuple):
    """What `build` makes of a config."""

    dataset: Dataset
    method: Method
    mesh: Mesh
    # () -> State, born with its shardings.
    init: Callable[[], State]
    # The State's shapes and shardings, for restoring into.
    abstract: State
    # (state, feed, variants) -> (State, metrics [n] each); donates the state. `variants` is static.
    update: Callable[[State, Any, tuple[Hashable, ...]], tuple[State, Mapping[str, Mean]]]
    # (step, stop, updates a call) -> what `update` eats, call by call.
    feeds: Callable[[int, int, int], Iterator[Any]]
    # The jitted function behind `update`, and its leading arguments (for lowering and cost analysis).
    jitted: Callable
    resident: Any

    def variants(self, step: int, count: int) -> tuple[Hashable, ...]:
        """The static variant of each of the `count` updates from `step` on."""
        return tuple(self.method.variant(i) for i in range(step, step + count))


def build(config) -> Program:
    """The Program of a config; nothing is compiled or trained yet.

    Raises:
      InputError: where the config, the data and the devices do not go together.
    """
    mesh = meshes.make(config.mesh.devices)
    if config.data.batch_size % mesh.size:
        raise InputError(f"data.batch_size={config.data.batch_size} must be divisible by {mesh.size} devices")
    dataset = data.make(**config.data)
    method = methods.make(config, dataset.spec)
    replicated = meshes.replicated(mesh)

    resources = {"mean": jnp.asarray(dataset.mean())}
    init = jax.jit(partial(_init, config, dataset.spec, method), out_shardings=replicated)
    resident = None if dataset.resident is None else meshes.put(replicated, dataset.resident)
    jitted = jax.jit(
        partial(_update, config, dataset, method, mesh),
        static_argnames="variants",
        donate_argnames="state",
        out_shardings=replicated,
    )
    return Program(
        dataset=dataset,
        method=method,
        mesh=mesh,
        init=lambda: init(resources),
        abstract=abstract_state(config, dataset.spec, method, mesh),
        update=lambda state, feed, variants: jitted(state, feed, resident, variants=variants),
        feeds=partial(_feeds, config, dataset, method.draws, mesh),
        jitted=jitted,
        resident=resident,
    )


def _init(config, spec, method, resources):
    example = {"image": jnp.zeros((2, *spec.shape), jnp.uint8), "row": jnp.arange(2)}
    if spec.classes:
        example["condition"] = {"label": jnp.zeros(2, jnp.int32)}
    return method.init(randomness.stream(config.seed, randomness.INIT), example, resources)


def abstract_state(config, spec: Spec, method: Method, mesh: Mesh) -> State:
    """Shapes and shardings of the State, without making one: what a checkpoint is restored into."""
    state = jax.eval_shape(partial(_init, config, spec, method), {"mean": jnp.zeros(spec.shape)})
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=meshes.replicated(mesh)), state)


def _update(config, dataset, method, mesh, state, feed, resident, variants):
    """Several updates in one program. `feed` has leading axes [updates, draws, batch]."""

    def fetch(feed, position):
        """The transformed global batch: gathered on the device where the set is resident."""
        batch = feed if resident is None else feed | jax.tree.map(lambda x: x[feed["index"]], resident)
        key = randomness.stream(config.data.seed, randomness.DATA)
        return dataset.transform(batch, jax.random.fold_in(key, position), dataset.seed)

    def one(state, feed, variant):
        key = jax.random.fold_in(randomness.stream(config.seed, randomness.TRAIN), state.step)
        batches = tuple(
            fetch(jax.tree.map(lambda x, i=i: x[i], feed), state.step * method.draws + i) for i in range(method.draws)
        )
        hyper = {name: schedule(state.step) for name, schedule in method.schedules.items()}
        return method.step(state, batches, key, hyper, variant)

    collected = []
    done = 0
    for variant, stretch in groupby(variants):
        count = len(list(stretch))
        part = jax.tree.map(lambda x, a=done, b=done + count: x[a:b], feed)
        done += count
        if unrolled(mesh) or count == 1:
            for i in range(count):
                state, metrics = one(state, jax.tree.map(lambda x, i=i: x[i], part), variant)
                collected.append(jax.tree.map(lambda x: x[None], metrics))
        else:
            state, metrics = jax.lax.scan(partial(one, variant=variant), state, part)
            collected.append(metrics)
    return state, jax.tree.map(lambda *parts: jnp.concatenate(parts), *collected)


def unrolled(mesh: Mesh) -> bool:
    """Whether updates are unrolled: on CPU a convolution inside a compiled loop is some 19 times slower."""
    return mesh.devices.flat[0].platform == "cpu"


def _feeds(config, dataset, draws, mesh, start, stop, per_call):
    """For each call of up to `per_call` updates: batches on the devices, axes [updates, draws, batch]."""
    rows = meshes.local_rows(mesh, config.data.batch_size)

    def stacked(batches, updates):
        stack = lambda *x: np.stack(x).reshape(updates, draws, *x[0].shape)  # noqa: E731
        return meshes.put_local(mesh, jax.tree.map(stack, *batches), axis=2)

    if dataset.resident is None:
        ahead = prefetch(dataset, range(start * draws, stop * draws), draws * per_call, rows)
        yield from (stacked(batches, len(batches) // draws) for batches in ahead)
        return
    for first in range(start, stop, per_call):
        last = min(first + per_call, stop)
        positions = range(first * draws, last * draws)
        yield stacked([{"index": dataset.indices(p, rows), "row": rows} for p in positions], last - first)
