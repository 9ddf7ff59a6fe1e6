"""The update of a config on these devices, measured: how much work, how fast, and what that is of their peak."""

import statistics
import time
from collections import Counter
from collections.abc import Iterator

import jax
import numpy as np

from gen_jax.errors import InputError
from gen_jax.program import build
from gen_jax.runtime import performance
from gen_jax.runtime.checkpoint import committed
from gen_jax.saved import named, opened

SECONDS = 3.0  # that each line measures for, at least five calls
LOOKED_AT = 1000  # steps, to see which programs a run alternates between


def rooflines(config, home=None) -> Iterator[str]:
    """One line for each program that a run alternates between, such as GAN updates with and without a penalty.

    One update a call, whatever `train.steps_per_call` is: XLA counts the bytes of a compiled loop once.

    Raises:
      InputError: the method makes no updates.
    """
    if "train" in config:
        with config.unlocked():
            config.train.steps_per_call = 1
    program = build(config, home)
    if program.method.step is None:
        raise InputError(f"method={config.method} makes no updates; there is nothing to measure")
    # A run over others that has a checkpoint holds their arrays there, and goes on without them.
    saved_one = home and named(config) and committed(home / "checkpoints")
    state = opened(home, program.mesh)[1] if saved_one else program.init()
    feed = next(program.feeds(0))
    found = Counter(program.variants(step, 1) for step in range(min(program.length.steps, LOOKED_AT)))
    for variants, times in found.items():
        of = f" ({times} of {found.total():,})" if len(found) > 1 else ""
        yield f"{config.method} update{of}: {_line(program, state, feed, variants, config.data.batch_size)}"


def _line(program, state, feed, variants, batch):
    operations, dtype = performance.cost(program, state, feed, variants)
    compiled = program.jitted.lower(state, feed, program.resident, variants=variants).compile()
    analysis = compiled.cost_analysis() or {}
    size, device = program.mesh.size, program.mesh.devices.flat[0]
    moved = analysis.get("bytes accessed", 0) * size
    seconds = statistics.median(_times(compiled, state, feed, program.resident))
    could = performance.peak(device.device_kind, dtype)
    share = f"{operations / seconds / (could * size):.1%}" if could else "-"
    parts = [
        f"{operations:.3g} FLOP",
        f"{moved:.3g} bytes moved" if moved else "- bytes moved",
        f"{operations / moved:.3g} FLOP/byte" if moved else "- FLOP/byte",
        f"{1e3 * seconds:.3g} ms",
        f"{operations / seconds:.3g} FLOP/s",
        f"{share} of peak",
        f"{batch / seconds:,.0f} images/s",
        f"{size} x {device.device_kind}, {dtype}",
    ]
    return " | ".join(parts)


def _times(compiled, state, feed, resident):
    """Seconds of single calls. The state is donated, so each call is given a copy."""
    times, began = [], time.perf_counter()
    while len(times) < 6 or time.perf_counter() - began < SECONDS:
        given = jax.block_until_ready(jax.tree.map(lambda x: x.copy() if isinstance(x, jax.Array) else x, state))
        now = time.perf_counter()
        jax.block_until_ready(compiled(given, feed, resident))
        times.append(time.perf_counter() - now)
    return np.array(times[1:])
