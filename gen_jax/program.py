"""A config made runnable: its data, its Method, and one compiled, sharded update.

`build` is what the loop, the tests of sharding and the benchmarks share.
"""

import dataclasses
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from gen_jax import data, methods, randomness, saved
from gen_jax.data.dataset import Dataset, floats
from gen_jax.data.loader import prefetch
from gen_jax.length import Length, length
from gen_jax.method import Mean, Method, State
from gen_jax.runtime import compilation
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
    # (step) -> what `update` eats, call by call, from there to the end.
    feeds: Callable[[int], Iterator[Any]]
    length: Length
    # (State) -> (State, metrics [1] each): `Method.fit`, its result on the devices.
    fit: Callable[[State], tuple[State, Mapping[str, Mean]]]
    # The jitted function behind `update`, and its leading arguments (for lowering and cost analysis).
    jitted: Callable
    resident: Any

    def variants(self, step: int, count: int) -> tuple[Hashable, ...]:
        """The static variant of each of the `count` updates from `step` on."""
        return tuple(self.method.variant(i) for i in range(step, step + count))


def build(config, home: Path | None = None) -> Program:
    """The Program of a config; nothing is compiled or trained yet.

    Args:
      home: the run directory, where there is one; a run that is made over others keeps there what it needs of them.

    Raises:
      InputError: where the config, the data and the devices do not go together.
    """
    mesh = meshes.make(config.mesh.devices)
    meshes.check_batch(mesh, config.data.batch_size, config.get("train", {}).get("accumulate", 1))
    dataset = data.make(**config.data)
    sources = saved.open_sources(config, mesh, home)
    method = methods.make(config, dataset.spec, sources)

    abstract = saved.abstract_state(config, dataset.spec, method, mesh, sources)
    layout = jax.tree.map(lambda x: x.sharding, abstract)
    once = {"out_shardings": layout, "compiler_options": meshes.for_one_call(mesh)}
    init = jax.jit(partial(saved.born, dataset.spec, method), **once)
    resident = None if dataset.resident is None else meshes.put(meshes.replicated(mesh), dataset.resident)
    jitted = jax.jit(
        partial(_update, dataset, method, layout),
        static_argnames="variants",
        donate_argnames="state",
        out_shardings=(layout, meshes.replicated(mesh)),
    )
    return Program(
        dataset=dataset,
        method=method,
        mesh=mesh,
        init=lambda: init(np.uint32(config.seed), saved.resources(dataset.mean(), sources)),
        abstract=abstract,
        length=length(config),
        update=lambda state, feed, variants: jitted(state, feed, resident, variants=variants),
        feeds=partial(_feeds, config, dataset, method, mesh),
        fit=partial(_fit, config, dataset, method, layout),
        jitted=jitted,
        resident=resident,
    )


class Feed(NamedTuple):
    """What some updates eat. Numbers and seeds are data, so that every trial of a sweep meets the same program."""

    batches: Mapping  # leading axes [updates, draws, batch]
    hyper: Mapping[str, np.ndarray]  # float32 [updates] by name: schedules, evaluated on the host
    seed: np.ndarray  # uint32 [updates], of the training noise
    data_seed: np.ndarray  # uint32 [updates], of binarisation and flips


def _update(dataset, method, layout, state, feed, resident, variants):
    """Several updates in one program."""

    def fetch(batch, position, seed):
        """The transformed global batch, images in [0, 1]: gathered on the device where the set is resident."""
        batch = batch if resident is None else batch | jax.tree.map(lambda x: x[batch["index"]], resident)
        key = randomness.stream(seed, randomness.DATA)
        return floats(dataset.transform(batch, jax.random.fold_in(key, position), seed))

    def one(state, feed, variant):
        if method.step is None:
            return dataclasses.replace(state, step=state.step + 1), {}
        key = jax.random.fold_in(randomness.stream(feed.seed, randomness.TRAIN), state.step)
        batches = tuple(
            fetch(jax.tree.map(lambda x, i=i: x[i], feed.batches), state.step * method.draws + i, feed.data_seed)
            for i in range(method.draws)
        )
        return meshes.stepping(method.step, layout)(state, batches, key, feed.hyper, variant)

    collected, done = [], 0
    for variant, stretch in groupby(variants):
        count = len(list(stretch))
        part = jax.tree.map(lambda x, a=done, b=done + count: x[a:b], feed)
        done += count
        if count == 1 or not compilation.scanned():
            for i in range(count):
                state, metrics = one(state, jax.tree.map(lambda x, i=i: x[i], part), variant)
                collected.append(jax.tree.map(lambda x: x[None], metrics))
        else:
            state, metrics = jax.lax.scan(partial(one, variant=variant), state, part)
            collected.append(metrics)
    return state, jax.tree.map(lambda *parts: jnp.concatenate(parts), *collected)


def _fit(config, dataset, method, layout, state):
    """The state after `Method.fit`, which every process computes for itself, from the same data and key."""
    key = jax.random.fold_in(randomness.stream(config.seed, randomness.TRAIN), state.step)
    new, metrics = method.fit(meshes.whole(state), dataset, key)
    return jax.tree.map(meshes.put, layout, new), jax.tree.map(lambda x: np.asarray(x)[None], metrics)


def _feeds(config, dataset, method, mesh, start):
    """For each call of some updates, what it eats, on the devices."""
    draws, (stop, per_call) = method.draws, length(config)[:2]
    if method.step is None:
        yield from [None] * (stop - start)
        return
    rows = meshes.local_rows(mesh, config.data.batch_size)

    def feed(first, batches):
        steps = range(first, first + len(batches) // draws)
        stack = lambda *x: np.stack(x).reshape(len(steps), draws, *x[0].shape)  # noqa: E731
        values = {name: [schedule(step) for step in steps] for name, schedule in method.schedules.items()}
        seeds = (np.full(len(steps), seed, np.uint32) for seed in (config.seed, config.data.seed))
        stacked = meshes.put_local(mesh, jax.tree.map(stack, *batches), axis=2)
        return Feed(stacked, {name: np.asarray(v, np.float32) for name, v in values.items()}, *seeds)

    if dataset.resident is None:
        for batches in prefetch(dataset, range(start * draws, stop * draws), draws * per_call, rows):
            yield feed(start, batches)
            start += len(batches) // draws
        return
    for first in range(start, stop, per_call):
        positions = range(first * draws, min(first + per_call, stop) * draws)
        yield feed(first, [{"index": dataset.indices(p, rows), "row": rows} for p in positions])
