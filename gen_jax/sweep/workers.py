"""The processes that train: one a run, each the `gen-jax train` that a user would type.

Who holds the lock on a run's log drives the run. The process that trains has the same open file as its stderr, so the
lock is held until both it and its parent are gone: a parent killed by -9 leaves children that go on, and the next
parent waits for them instead of starting a run a second time.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from gen_jax.sweep.plan import Run
from gen_jax.sweep.state import hopeless, seen

# The interpreter itself: a wrapper such as `uv run` would stand between us and the run, and die alone by kill -9.
PROGRAM = (sys.executable, "-m", "gen_jax")
RETRIES = 2


class Child(NamedTuple):
    """A process that trains."""

    run: Run
    process: subprocess.Popen
    claim: IO  # its log, locked
    slot: int
    environment: dict[str, str]
    began: int  # the step that it started from


def claim(run: Run) -> IO | None:
    """The log of a run, opened and locked; None where somebody else drives the run."""
    run.log.parent.mkdir(parents=True, exist_ok=True)
    file = open(run.log, "ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def start(run: Run, claim: IO, slot: int, environment: dict) -> Child:
    """Starts to train `run`, or to go on with it.

    A session of its own keeps Ctrl-C of the terminal from it: only the parent passes it on, once, for a second signal
    would end the run before it has saved.
    """
    run.path.parent.mkdir(parents=True, exist_ok=True)
    options = {"stdin": subprocess.DEVNULL, "stdout": claim, "stderr": claim, "start_new_session": True}
    process = subprocess.Popen([*PROGRAM, *run.words], env={**os.environ, **environment}, **options)
    return Child(run, process, claim, slot, environment, seen(run.path).step)


def again(status: int, why: str, progressed: bool, tries: int) -> bool:
    """Whether a run whose process ended before its time is started once more.

    Args:
      status: of the process; negative: the signal that killed it.
      why: what FAILED.txt or its last line says.
      progressed: whether it made a checkpoint since it was last started.
      tries: how often it was started again so far; for a killed one, without progress in between.
    """
    if status == 2 or (not killed(status) and hopeless(why)):
        return False
    return tries < RETRIES and (progressed or killed(status))


def killed(status: int) -> bool:
    """Whether a process was ended from outside: it saved, or had no time to."""
    return status < 0 or status in (129, 130, 143)


def last_line(log: Path) -> str:
    """The last line that a process printed: where it was refused, why."""
    with suppress(OSError), open(log, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4000))
        lines = file.read().decode(errors="replace").strip().splitlines()
        return lines[-1].removeprefix("error: ") if lines else ""
    return ""


def in_words(status: int) -> str:
    """How a process ended."""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return {
        2: "refused",
        129: "stopped by the end of the terminal",
        130: "stopped by Ctrl-C",
        143: "stopped by SIGTERM",
    }.get(status, f"exit status {status}")


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them. JAX is not asked: it would take them."""
    if os.environ.get("JAX_PLATFORMS", "").startswith("cpu"):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    if not shutil.which("nvidia-smi"):
        return []
    with suppress(OSError, subprocess.TimeoutExpired):
        told = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20).stdout
        return [str(i) for i in range(sum(line.startswith("GPU ") for line in told.splitlines()))]
    return []


def slots(parallel: int | None, gpus: list[str]) -> list[dict[str, str]]:
    """The environment of each of the processes that may run at once: one a GPU, or one on the CPU.

    More than there are GPUs share them in turn, and then none may take all the memory at its start.
    """
    count = parallel or max(1, len(gpus))
    shared = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} if count > len(gpus) > 0 else {}
    return [{"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)], **shared} if gpus else {} for i in range(count)]
