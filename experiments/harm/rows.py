"""The other faults: a function (case, workdir) does one to a run, up to where the same command is to go on."""

import contextlib
import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import time

from harm.runs import LOST, TOLD, Running, committed, go_on, must, stopped, until


def frozen(case, workdir):
    """SIGSTOP for 3 s; of two processes, one is not woken."""
    with Running(case, workdir) as run:
        must(run.saved(), "it ended")
        victim = run.processes[-1]
        victim.send_signal(signal.SIGSTOP)
        if case.processes == 1:
            time.sleep(3)
            victim.send_signal(signal.SIGCONT)
            must(run.end() == [0], "it did not go on")
            return
        until(lambda: run.processes[0].poll() is not None, TOLD, "the other process")
        victim.send_signal(signal.SIGCONT)
        must(run.end(TOLD) == [LOST, LOST], f"they ended with {[p.returncode for p in run.processes]}")


def failing(run, status, words):
    statuses = run.end()
    must(statuses == [status], f"it ended with {statuses}")
    lines = run.lines()
    must(len(lines) == 1 and any(word in lines[0] for word in words), f"it said {lines}")
    must("Traceback" not in run.error(), f"a traceback: {run.error()[-600:]}")


def small_files(case, workdir):
    """No file may grow beyond 64 kB (RLIMIT_FSIZE), from the second checkpoint on; what it prints is a file, too."""
    with Running(case, workdir) as run:
        must(run.saved(), "it ended")
        resource.prlimit(run.processes[0].pid, resource.RLIMIT_FSIZE, (2**16, 2**16))
        failing(run, 1, ["File too large"])


def full_disk(case, workdir):
    """A file system of its own (tmpfs), filled to its last byte from the second checkpoint on."""
    workdir.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", workdir], capture_output=True)
    if mounted.returncode:
        workdir.rmdir()
        return "not run: no file system can be mounted here"
    try:
        inside = workdir / "run"
        with Running(case, inside) as run:
            must(run.saved(), "it ended")
            with open(workdir / "ballast", "wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            failing(run, 1, ["disk full"])
        (workdir / "ballast").unlink()
        go_on(case, inside)
        shutil.copytree(inside, workdir.with_name("copied"))
    finally:
        subprocess.run(["umount", workdir], check=True)
    workdir.rmdir()
    workdir.with_name("copied").rename(workdir)
    return None


def _as_user():
    """Takes root's right to write everywhere (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH) from what is started."""
    libc = ctypes.CDLL(None)
    for capability in (1, 2):
        libc.prctl(24, capability, 0, 0, 0)


def read_only(case, workdir):
    """The run directory may only be read: refused at once, nothing changed."""
    stopped(case, workdir)
    everything = [workdir, *workdir.rglob("*")]
    before = {path: path.stat().st_mtime_ns for path in everything if path.is_file()}
    for path in everything:
        path.chmod(0o555 if path.is_dir() else 0o444)
    with Running(case, workdir, options={"preexec_fn": _as_user}) as run:
        failing(run, 2, ["Permission denied", "Read-only"])
    for path in everything:
        path.chmod(0o755 if path.is_dir() else 0o644)
    must({path: path.stat().st_mtime_ns for path in before} == before, "a file changed")


def removed(case, workdir):
    """The run directory is removed while it trains."""
    with Running(case, workdir) as run:
        must(run.saved(), "it ended")
        while workdir.exists():
            shutil.rmtree(workdir, ignore_errors=True)
        failing(run, 1, ["removed", "No such file"])
    must(not workdir.exists(), f"left: {sorted(workdir.rglob('*')) if workdir.exists() else ''}")


def _largest(checkpoint):
    return max((p for p in checkpoint.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def _flip(checkpoint):
    file = _largest(checkpoint)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)


def _halve(checkpoint):
    file = _largest(checkpoint)
    os.truncate(file, file.stat().st_size // 2)


def _zero(checkpoint):
    file = _largest(checkpoint)
    file.write_bytes(bytes(file.stat().st_size))


def _empty(checkpoint):
    shutil.rmtree(checkpoint)
    checkpoint.mkdir()


def damaged(damage):
    """The newest checkpoint is damaged: said, set aside, the one before it used."""

    def fault(case, workdir):
        stopped(case, workdir)
        newest = committed(workdir)[-1]
        damage(workdir / "checkpoints" / str(newest))
        run = go_on(case, workdir)
        must("is damaged" in run.error() and "set aside" in run.error(), "it was not told")
        must((workdir / "checkpoints" / f"{newest}.damaged").is_dir(), "it was not set aside")

    return fault


def torn(case, workdir):
    """The last rows of all .jsonl files are half-written."""
    stopped(case, workdir)
    for name in ("metrics.jsonl", "timing.jsonl", "evaluations.jsonl"):
        with open(workdir / name, "ab") as file:
            file.write(b'{"step": 50, "metric": "fd_ran')


def twice(case, workdir):
    """Started a second time in the same directory while it trains."""
    with Running(case, workdir) as first:
        must(first.saved(1), "it ended")
        first.processes[0].send_signal(signal.SIGSTOP)  # so that it has not ended before the second has begun
        with Running(case, workdir) as second:
            failing(second, 2, ["is being trained by another process"])
        first.processes[0].send_signal(signal.SIGCONT)
        must(first.end() == [0], "the first was disturbed")


def not_a_number(case, workdir):
    """Parameters that are no numbers, from the 23rd update on: it ends, with the last good checkpoint."""
    with Running(case, workdir, ("update", 23, "nan", "--")) as run:
        failing(run, 1, ["non-finite loss at step"])
    must(committed(workdir)[-1] == 20 and (workdir / "FAILED.txt").exists(), "the last good checkpoint is not the last")


def clock(seconds):
    """The clock jumps, from the second checkpoint on; what was written until then is from that time."""

    def fault(case, workdir):
        with Running(case, workdir, ("save", 2, f"clock:{seconds}", "--")) as run:
            must(run.until(lambda: max(committed(workdir), default=0) >= 20), "it ended")  # only three are kept
        for path in workdir.rglob("*"):
            os.utime(path, (time.time() + seconds, time.time() + seconds))
        go_on(case, workdir)
        rows = [json.loads(line) for line in (workdir / "timing.jsonl").read_text().splitlines()]
        must(all(row["images_per_second"] >= 0 and row["seconds"] >= 0 for row in rows), "a negative rate")

    return fault


ROWS = {
    "SIGSTOP for 3 s": frozen,
    "no file may grow": small_files,
    "disk full (tmpfs)": full_disk,
    "read-only directory": read_only,
    "directory removed": removed,
    "newest checkpoint: a bit flipped": damaged(_flip),
    "newest checkpoint: truncated": damaged(_halve),
    "newest checkpoint: zeros": damaged(_zero),
    "newest checkpoint: a file missing": damaged(lambda path: (path / "meta/metadata").unlink()),
    "newest checkpoint: emptied": damaged(_empty),
    "torn rows": torn,
    "two commands on one directory": twice,
    "parameters that are no numbers": not_a_number,
    "clock a day ahead": clock(86400),
    "clock a day back": clock(-86400),
}
