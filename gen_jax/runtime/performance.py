"""What the clock says of a training: time a step, waiting, memory, and the share of what the devices could do."""

import os
import resource
import statistics
import sys
import time
from collections.abc import Iterator

import jax

from gen_jax.runtime import flops

# Dense operations a second of one JAX device, by its exact `device_kind` and the type of the operands of products.
# float32 means what JAX computes by default: TF32 on these GPUs, one pass in bfloat16 on TPUs. NVIDIA's sheets since
# Hopper state figures with sparsity, which are halved here. All were looked up on 25 Nov 2026: those of TPUs on
# Google's pages, those of NVIDIA's sheets as others quote them.
_A100 = {"bfloat16": 312e12, "float32": 156e12}  # NVIDIA A100 data sheet: BF16 312, TF32 156, all four alike
_H100_SXM = {"bfloat16": 989e12, "float32": 494e12}  # NVIDIA H100 data sheet, SXM: BF16 1,979, TF32 989, with sparsity
_V4 = dict.fromkeys(("bfloat16", "float32"), 275e12)  # cloud.google.com/tpu/docs/v4: 275 a chip
_V5E = dict.fromkeys(("bfloat16", "float32"), 197e12)  # cloud.google.com/tpu/docs/v5e: 197; JAX says "TPU v5 lite"
_V5P = dict.fromkeys(("bfloat16", "float32"), 459e12)  # cloud.google.com/tpu/docs/v5p: 459; JAX says "TPU v5"
_V6E = dict.fromkeys(("bfloat16", "float32"), 918e12)  # cloud.google.com/tpu/docs/v6e: 918
PEAKS = {
    "NVIDIA A100-SXM4-40GB": _A100,
    "NVIDIA A100-SXM4-80GB": _A100,
    "NVIDIA A100-PCIE-40GB": _A100,
    "NVIDIA A100 80GB PCIe": _A100,
    "NVIDIA H100 80GB HBM3": _H100_SXM,
    # The same sheet, PCIe: BF16 1,513, TF32 756, with sparsity.
    "NVIDIA H100 PCIe": {"bfloat16": 756e12, "float32": 378e12},
    # NVIDIA H200 data sheet, SXM: as the H100, with more memory.
    "NVIDIA H200": _H100_SXM,
    # NVIDIA HGX B200, a GPU, at up to 1000 W: BF16 4,500, TF32 2,200, with sparsity.
    "NVIDIA B200": {"bfloat16": 2250e12, "float32": 1100e12},
    # NVIDIA L4 data sheet: BF16 242, TF32 120, with sparsity.
    "NVIDIA L4": {"bfloat16": 121e12, "float32": 60e12},
    "TPU v4": _V4,
    "TPU v5 lite": _V5E,
    "TPU v5e": _V5E,
    "TPU v5": _V5P,
    "TPU v5p": _V5P,
    "TPU v6 lite": _V6E,
    "TPU v6e": _V6E,
}


def peak(kind: str, dtype: str | None) -> float | None:
    """Operations a second that a device of this kind could do in products of this type; None where it is not known."""
    if dtype == "float32" and jax.config.jax_default_matmul_precision not in (None, "default"):
        return None
    return PEAKS.get(kind, {}).get(dtype)


def memory_peak(devices) -> int | None:
    """Bytes in use at the worst moment so far, of the fullest of some devices; None where they do not say (CPU)."""
    found = [(device.memory_stats() or {}).get("peak_bytes_in_use") for device in devices]
    return max(found) if all(x is not None for x in found) else None


def host_memory() -> int:
    """Resident bytes of this process; where there is no /proc, the most that it ever had."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Meter:
    """Watches the calls of a Program's update.

    The time of a call is that from its start to the start of the next: the loop waits for each call while the next is
    under way, so that the device sets the pace, and nothing waits for a measurement. A call beside which something
    else took a tenth of its time or more (compiling, drawing) is left out.

    Attributes:
      program: the Program to call in place of the one given.
    """

    def __init__(self, program, step: int):
        self._inner = program
        self.program = program._replace(feeds=self._feeds, update=self._update)
        self._step, self._open = step, None
        self._known = {}  # variants -> (operations of a call, the type of its products)
        self._waited = self._paused = self._compiling = 0.0
        self._calls = []  # (seconds, updates, seconds waited for input, variants)

    def pause(self, seconds: float) -> None:
        """Time was spent on something else."""
        self._paused += seconds

    def _feeds(self, step) -> Iterator:
        feeds = iter(self._inner.feeds(step))
        while True:
            began = time.perf_counter()
            feed = next(feeds, self)
            self._waited += time.perf_counter() - began
            if feed is self:
                return
            yield feed

    def _update(self, state, feed, variants):
        now = time.perf_counter()
        if self._open:
            began, last = self._open
            if self._paused < 0.1 * (now - began):
                self._calls.append((now - began - self._paused, len(last), self._waited, last))
        self._waited = self._paused = 0.0
        self._step += len(variants)
        self._open = (now, variants)
        if new := variants not in self._known:
            self._known[variants] = cost(self._inner, state, feed, variants)
        with jax.profiler.StepTraceAnnotation("train", step_num=self._step):
            result = self._inner.update(state, feed, variants)
        if new:
            self._compiling += time.perf_counter() - now
            self._open = None
        return result

    def row(self) -> dict:
        """Figures of the calls since the last row, for timing.jsonl; None where nothing was measured, or is known.

        step_seconds (median) and step_seconds_p95 of an update; input_wait_share of that time; compile_seconds since
        the start; flops_per_second of all devices together, by the arithmetic, and peak_share, the part of their peak
        that this is; device_memory_peak_bytes of the fullest device; host_memory_bytes of this process.
        """
        calls, self._calls = self._calls, []
        each = sorted(seconds / updates for seconds, updates, *_ in calls)
        total = sum(seconds for seconds, *_ in calls)
        costs = [self._known[variants] for *_, variants in calls]
        rate = sum(operations for operations, _ in costs) / total if calls else None
        devices = self._inner.mesh.devices.flat
        could = peak(devices[0].device_kind, costs[0][1]) if calls else None
        return {
            "step_seconds": statistics.median(each) if each else None,
            "step_seconds_p95": each[min(len(each) - 1, int(0.95 * len(each)))] if each else None,
            "input_wait_share": sum(waited for _, _, waited, _ in calls) / total if calls else None,
            "compile_seconds": self._compiling,
            "flops_per_second": rate,
            "peak_share": rate / (could * self._inner.mesh.size) if could else None,
            "device_memory_peak_bytes": memory_peak(self._inner.mesh.local_devices),
            "host_memory_bytes": host_memory(),
        }


def cost(program, state, feed, variants) -> tuple[float, str | None]:
    """Operations of one call of a Program's update, and the type of the operands of most of its products."""
    if program.method.step is None:
        return 0.0, None
    # Before the call, which is not traced again then.
    jaxpr = program.jitted.trace(state, feed, program.resident, variants=variants).jaxpr
    return flops.count(jaxpr), flops.operands(jaxpr)


def told(row: dict) -> str:
    """The figures of a row for the line of progress."""
    if row["step_seconds"] is None:
        return ""
    parts = [f"{1e3 * row['step_seconds']:.3g} ms (p95 {1e3 * row['step_seconds_p95']:.3g})"]
    parts += [f"input {100 * row['input_wait_share']:.0f}%"]
    parts += [f"{100 * row['peak_share']:.0f}% of peak"] if row["peak_share"] is not None else []
    memory = row["device_memory_peak_bytes"] or row["host_memory_bytes"]
    return " | ".join([*parts, f"{memory / 2**30:.1f} GiB"])
