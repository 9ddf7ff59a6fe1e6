"""What a config would do, without doing it: shapes, sizes, cost, and one step compiled."""

import os
import time

import jax
from flax import traverse_util

from gen_jax.program import build
from gen_jax.runtime import flops
from gen_jax.runtime.collectives import exchanged
from gen_jax.runtime.mesh import bytes_per_device
from gen_jax.runtime.progress import short

UNITS = {"MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50, "EiB": 2**60}


def describe(config) -> str:
    """A page of text. Compiles one call of the update and trains nothing."""
    program = build(config)
    state = program.abstract
    lines = [
        f"{program.dataset.name}: {program.dataset.spec.size:,} images"
        f" {'x'.join(map(str, program.dataset.spec.shape))}, batch {config.data.batch_size}"
        f" over {program.mesh.size} device(s), {program.method.draws} batch(es) an update"
    ]
    for name, params in state.params.items():
        lines.append(f"{name}: {short(_size(params))} parameters")
        for path, leaf in traverse_util.flatten_dict(params, sep="/").items():
            lines.append(f"  {path:40} {'x'.join(map(str, leaf.shape)) or 'scalar'}")
    memory, copied = bytes_per_device(state), sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    instead = f", in the place of {_bytes(copied)}" if memory < copied else ""
    lines.append(f"state: {_bytes(memory)} a device{instead} (parameters, optimiser, averages)")
    has = _memory(program.mesh)
    if memory > has:
        lines.append(f"warning: the state does not fit: {_bytes(memory)}, and a device has {_bytes(has)}")
        return "\n".join([*lines, "not compiled; choose smaller networks"])
    if program.method.step is None:
        what = "fitted once" if program.method.fit else "nothing to learn"
        return "\n".join([*lines, f"no compiled update: {what}"])
    per_call = program.length.steps_per_call
    feed = next(program.feeds(0))
    began = time.monotonic()
    traced = program.jitted.trace(state, feed, program.resident, variants=program.variants(0, per_call))
    compiled = traced.lower().compile()
    lines.append(f"compiled {per_call} update(s) in {time.monotonic() - began:.1f} s")
    operations = flops.count(traced.jaxpr)
    lines.append(
        f"one call: {operations:.3g} floating-point operations, global batch; {operations / per_call:.3g} an update"
    )
    if program.mesh.size > 1:
        found = exchanged(compiled.as_text(), program.mesh.size).items()
        told = ", ".join(f"{count} {kind} of {_bytes(size)}" for kind, (count, size) in found) or "nothing"
        lines.append(f"exchanged in one call: {told}")
    peak = compiled.memory_analysis()
    if peak is not None:
        lines.append(f"working memory: {_bytes(peak.temp_size_in_bytes)} a device")
        if memory + peak.temp_size_in_bytes > has:
            needed = _bytes(memory + peak.temp_size_in_bytes)
            lines.append(f"warning: state and working memory do not fit: {needed}, and a device has {_bytes(has)}")
    return "\n".join(lines)


def _memory(mesh) -> int:
    """Bytes that the smallest device of a mesh has; devices of a CPU share those of the machine."""
    known = [(device.memory_stats() or {}).get("bytes_limit") for device in mesh.local_devices]
    if all(known):
        return min(known)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // mesh.local_mesh.size


def _bytes(count: int) -> str:
    unit = next((unit for unit in ("MiB", "GiB", "TiB", "PiB") if count < 1024 * UNITS[unit]), "EiB")
    return f"{count / UNITS[unit]:,.1f} {unit}"


def _size(tree):
    return sum(x.size for x in jax.tree.leaves(tree))
