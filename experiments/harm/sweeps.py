"""A sweep: child, parent and both killed."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from harm.runs import VAE, must, until

SWEEP = [*VAE, "--config.optimizer.learning_rate=1e-3,3e-3", "--seeds=2", "--parallel=2"]


def sweep(folder):
    def start():
        command = [sys.executable, "-m", "gen_jax", "sweep", str(folder), *SWEEP]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def children(parent):
        return [int(pid) for pid in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()]

    def saved(more, *, parent):
        count = lambda: sum(len(list(path.iterdir())) for path in folder.glob("trials/*/checkpoints"))
        wanted = count() + more
        until(lambda: count() >= wanted or parent.poll() is not None, what="the sweep")

    def kill(*pids):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    parent = start()
    saved(2, parent=parent)
    kill(*children(parent)[:1])
    saved(2, parent=parent)
    kill(parent.pid)
    parent.wait()
    parent = start()
    saved(1, parent=parent)
    kill(parent.pid, *children(parent))
    parent.wait()
    last = start()
    until(lambda: last.poll() is not None, what="the sweep")
    must(last.returncode == 0, f"the same command ended the sweep with {last.returncode}")
    must(len(list(folder.glob("trials/*/DONE"))) == len(list(folder.glob("trials/*"))) == 4, "runs are missing")
