"""One axis of devices, "data": the batch is split along it, and large arrays of the State where a config asks for it.

Methods are written for the global batch and never see this file; the compiler inserts what devices exchange. (pmap
would need that written by hand, and is itself jit over a mesh by now.)
"""

import math
from collections.abc import Callable
from contextvars import ContextVar

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gen_jax.errors import InputError

EXTRAS = {"cuda": "cuda", "gpu": "cuda", "tpu": "tpu"}  # platform -> what brings it


def all_devices() -> list[jax.Device]:
    """The devices of the cluster.

    Raises:
      InputError: JAX has none of the kind that it was asked for.
    """
    try:
        return jax.devices()
    except (RuntimeError, AssertionError) as error:  # JAX asserts where CUDA is asked for and its plugin is not there
        asked = jax.config.jax_platforms or ""
        extra = next((EXTRAS[platform] for platform in asked.split(",") if platform in EXTRAS), None)
        hint = f"pip install 'gen_jax[{extra}]' brings it; or set" if extra else "set"
        reason = f" ({str(error).splitlines()[0][:150]})" if str(error) else ""
        raise InputError(f"JAX_PLATFORMS={asked}: no such device here{reason}; {hint} JAX_PLATFORMS=cpu") from error


def make(devices: int = -1) -> Mesh:
    """The mesh over the first `devices` devices of the cluster (-1: all of them)."""
    available = all_devices()
    if devices > len(available) or devices == 0 or devices < -1:
        raise InputError(f"mesh.devices={devices}: this machine has {len(available)}; use -1 for all of them")
    chosen = available if devices == -1 else available[:devices]
    if len({d.process_index for d in chosen}) < jax.process_count():
        raise InputError(f"mesh.devices={devices}: leaves one of {jax.process_count()} processes without a device")
    return Mesh(np.asarray(chosen), ("data",), axis_types=(AxisType.Auto,))


def local(mesh: Mesh) -> Mesh:
    """The part of a mesh that this process owns; the mesh itself where there is one process."""
    if jax.process_count() == 1:
        return mesh
    mine = [d for d in mesh.devices.flat if d.process_index == jax.process_index()]
    return Mesh(np.asarray(mine), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """A copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def layout(mesh: Mesh, abstract, shard_above: int = 0):
    """Shapes with their shardings: how a State lies on the devices. No other place says so.

    An array of more than `shard_above` elements is split along its largest axis that the devices divide, the first of
    several. The others are copied to each device, and with `shard_above` 0 all are. So parameters, their averages and
    their optimiser's states, which have one shape, lie alike.
    """

    def sharding(shape):
        splits = [axis for axis, size in enumerate(shape) if size % mesh.size == 0]
        if mesh.size == 1 or not splits or not 0 < shard_above < math.prod(shape):
            return replicated(mesh)
        return batched(mesh, max(splits, key=lambda axis: shape[axis]))

    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding(x.shape)), abstract)


def bytes_per_device(abstract) -> int:
    """Bytes of the arrays that `layout` describes on each device."""
    return sum(math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(abstract))


# The mesh over which the State of the step being traced is split, None where it is not.
_split_over = ContextVar("split_over", default=None)


def stepping(step: Callable, layout) -> Callable:
    """A method's step, to be traced for a State whose arrays have these shardings, and the same after it."""
    split = [sharding.mesh for sharding in jax.tree.leaves(layout) if not sharding.is_fully_replicated]
    keep = lambda x, sharding: x if sharding.is_fully_replicated else jax.lax.with_sharding_constraint(x, sharding)

    def stepped(*arguments):
        token = _split_over.set(split[0] if split else None)
        try:
            state, metrics = step(*arguments)
        finally:
            _split_over.reset(token)
        return jax.tree.map(keep, state, layout), metrics

    return stepped


def used(variables):
    """Under jit: what a network computes with, whole on every device, so that only the batch is split in it.

    It is gathered at each use, and of its gradient every device gets the whole sum. Where the compiler may choose, it
    splits activations by channels instead and moves them about, which costs more.
    """
    mesh = _split_over.get()
    return variables if mesh is None else jax.lax.with_sharding_constraint(variables, replicated(mesh))


def whole(tree):
    """Outside of jit: arrays with a copy on each of their devices, or on the host. All processes must ask together."""
    split = lambda x: isinstance(x, jax.Array) and not x.sharding.is_fully_replicated
    copied = lambda x: jax.jit(lambda x: x, out_shardings=replicated(x.sharding.mesh))(x)
    return jax.tree.map(lambda x: copied(x) if split(x) else x, tree)


def check_batch(mesh: Mesh, batch_size: int, parts: int) -> None:
    """Refuses a batch of which not every device has as many rows, in each of the parts that it is taken in."""
    if batch_size % (mesh.size * parts):
        times = f" times train.accumulate={parts}" if parts > 1 else ""
        raise InputError(f"data.batch_size={batch_size} must be divisible by {mesh.size} devices{times}")


def batched(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """Axis `axis` split over the devices."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, "data"))


def local_rows(mesh: Mesh, batch_size: int) -> np.ndarray:
    """The rows of the global batch that this process must read."""
    sharding = batched(mesh)
    slices = sharding.addressable_devices_indices_map((batch_size,)).values()
    return np.unique(np.concatenate([np.arange(batch_size, dtype=np.int32)[s[0]] for s in slices]))


def put_local(mesh: Mesh, tree, axis: int = 0):
    """Global arrays from the rows that each process read (`local_rows`), `axis` being the batch."""
    sharding = batched(mesh, axis)
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, np.asarray(x)), tree)


def put(sharding: NamedSharding, tree):
    """Global arrays from values that every process holds whole."""

    def one(x):
        x = np.asarray(x)
        return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])

    return jax.tree.map(one, tree)


def for_one_call(mesh: Mesh) -> dict | None:
    """Compiler options for a program that runs once: LLVM's last level takes seconds more, for the same numbers."""
    return {"xla_backend_optimization_level": 2} if mesh.devices.flat[0].platform == "cpu" else None
