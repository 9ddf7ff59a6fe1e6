"""One axis of devices, "data": the batch is split along it, everything else is copied to each.

Methods are written for the global batch and never see this file; the compiler inserts the
all-reduces. (pmap would need them written by hand, and is itself jit over a mesh by now.)
"""

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


def laid_out(mesh: Mesh, abstract):
    """Shapes with their shardings: how a State lies on the devices. Today every leaf is copied to each of them."""
    one = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated(mesh))
    return jax.tree.map(one, abstract)


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
