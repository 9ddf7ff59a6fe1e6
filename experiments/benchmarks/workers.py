"""Workers: processes that each do one side of a comparison, and wait while another one works.

The parent starts all workers of a row, and then wakes them one after another with a line on stdin: the first wakes a
worker to build its work and to make its first call, each further one to measure a round. It answers in one line of
JSON. So a busy machine is unkind to all alike, and no worker disturbs another.
"""

import importlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gen_jax.runtime import hugepages


class Setting(NamedTuple):
    """What all workers of a row are told."""

    device: str  # cpu or gpu
    dtype: str  # float32 or bfloat16, of the arithmetic
    seconds: float  # about how long a round lasts
    folder: (
        str  # a temporary one of this row: gen_jax's first worker is built first, and may leave files for the others
    )
    weights: str  # a trained run, for the rows that can use one; "" for random weights


class Worker(NamedTuple):
    """One side of a row."""

    build: str  # MODULE:FUNCTION in this folder: (setting, **options) -> Work
    options: Mapping[str, Any] = {}
    needs: tuple[str, ...] = ()  # packages without which it is skipped


class Work(NamedTuple):
    """What a worker does, built."""

    run: Callable[[], Any]  # may return before the device is done
    wait: Callable[[], Any] = lambda: None  # until it is
    units: float = 1  # of the row's unit, done by one `run`
    parameters: tuple[int, ...] = ()  # of each network, smallest first: equal for all workers of a row
    values: Callable[[], Mapping] = dict  # after a `run`: name -> (value, tolerance), what the workers must agree on
    runs: int = 0  # in a round; 0: as many as fill Setting.seconds


DIED = "it died; what it said stands above"


class Skip(Exception):
    """This worker cannot work here; the message says why."""


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def start(worker: Worker, setting: Setting) -> subprocess.Popen:
    """The worker's process, which does nothing yet."""
    environment = dict(os.environ)
    if setting.device == "cpu":
        environment["JAX_PLATFORMS"] = "cpu"
    # Two frameworks share a GPU: neither may take all of its memory at once.
    environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    # As `gen-jax` does for itself; the peers get the same.
    environment.setdefault(hugepages.VARIABLE, hugepages.ASKED)
    told = json.dumps([worker._asdict(), setting._asdict()])
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    return subprocess.Popen([sys.executable, __file__, told], **pipes)


def ask(process: subprocess.Popen) -> dict:
    """Wakes a worker, and returns what it answers: numbers, or {"skipped": why}."""
    try:
        process.stdin.write("\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())
    except (BrokenPipeError, json.JSONDecodeError):
        return {"skipped": DIED}


def busy_cores(seconds: float = 2.0) -> float:
    """How many cores other processes keep busy now; the load average would still count what ended a minute ago."""

    def spent():
        with open("/proc/stat") as file:  # the first line: user, nice, system, idle, iowait, ... in ticks
            ticks = [int(word) for word in file.readline().split()[1:]]
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")

    if not os.path.exists("/proc/stat"):  # not Linux
        return os.getloadavg()[0]
    before = spent()
    time.sleep(seconds)
    return (spent() - before) / seconds


def main() -> None:
    """A worker's process."""
    # What libraries print must not stand among the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    tell = lambda answer: print(json.dumps(answer), file=answers, flush=True)
    worker, told = json.loads(sys.argv[1])
    setting = Setting(**told)
    module, _, function = worker["build"].partition(":")
    sys.stdin.readline()
    try:
        work = getattr(importlib.import_module(module), function)(setting, **worker["options"])
    except Skip as reason:
        return tell({"skipped": str(reason)})
    first = measure(work, 1)[0] * work.units
    runs = work.runs
    if not runs:
        measure(work, 1)
        once = measure(work, 1)[0] * work.units
        if once < setting.seconds / 5:
            once = measure(work, 3)[0] * work.units
        runs = max(1, round(setting.seconds / once))
    tell({"first": first, "parameters": work.parameters, "values": work.values()})
    for _ in sys.stdin:
        wall, processor = measure(work, runs)
        tell({"wall": wall, "processor": processor, "peak": peak()})


def measure(work: Work, runs: int) -> tuple[float, float]:
    """Wall seconds a unit, and processor seconds of this process and of those that it started."""
    wall, processor = time.perf_counter(), spent()
    for _ in range(runs):
        work.run()
    work.wait()
    return tuple(x / runs / work.units for x in (time.perf_counter() - wall, spent() - processor))


def spent() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def peak() -> float:
    """MiB: the most memory that this process, or the largest one that it started, has had."""
    kilobytes = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return kilobytes / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    # By its name: what workers build is made of the classes of that module.
    importlib.import_module("workers").main()
