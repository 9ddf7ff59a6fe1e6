"""Sweeps whose runs are fakes, in this process or in one of their own that a test may kill."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

FAKE = (sys.executable, str(Path(__file__).parent / "sweep/fake_train.py"))


def starts(folder):
    """Run -> the steps that it was started from."""
    found = sorted((folder / "trials").glob("*/starts"))
    return {file.parent.name: [int(line) for line in file.read_text().split()] for file in found}


def table(folder):
    with open(folder / "table.csv") as file:
        return list(csv.DictReader(file))


def parent(folder, *words, program=None, own_group=False, **environment):
    """A `gen-jax sweep` in a process of its own; its runs are fakes unless a program is given."""
    code = f"import sys; from gen_jax.sweep import workers; workers.PROGRAM = {program or FAKE!r}\n"
    code += "from gen_jax.cli.main import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "sweep", str(folder), *words]
    options = {"stderr": subprocess.PIPE, "text": True, "start_new_session": own_group}
    return subprocess.Popen(words, env={**os.environ, **environment}, **options)


def until(condition, process):
    while not condition():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)


def child_pids(process):
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def kill_one_worker_then_the_parent(folder, grid, program=None, workers=3, **environment):
    """Returns the run whose worker was killed, having killed its parent too."""
    driver = parent(folder, *grid, f"--parallel={workers}", program=program, **environment)
    saved = lambda: sorted(folder.glob("trials/*/checkpoints/*[0-9]"))
    until(saved, driver)
    run = saved()[0].parent.parent
    for pid in [pid for pid in child_pids(driver) if str(run) in _command(pid)]:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(list(folder.glob("trials/*/DONE"))) >= 2 and len(child_pids(driver)) == workers, driver)
    driver.kill()
    driver.wait()
    driver.stderr.close()
    return run.name


def _command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
