"""What several processes of one run must agree on: whether it begins, and when it stops."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax
import numpy as np
from jax.experimental import multihost_utils

from gen_jax.errors import InputError
from gen_jax.runtime import hangup, watch


def together(act: Callable[[], None]) -> None:
    """Runs `act`; if it refuses in one process, all refuse, instead of waiting for one that is gone."""
    error = None
    try:
        act()
    except InputError as refused:
        error = refused
    watch.at("the claim of the run directory")
    if jax.process_count() > 1 and not multihost_utils.broadcast_one_to_all(np.asarray(error is None)):
        error = error or InputError("process 0 refused; its error line says why")
    if error:
        raise error


def must_stop(asked: list[int], call: int) -> bool:
    """Whether to save and stop: of several processes all at one call, whichever was told."""
    if jax.process_count() == 1:
        return bool(asked)
    return multihost_utils.reached_preemption_sync_point(call)


@contextmanager
def collected() -> Iterator[list[int]]:
    """Collects SIGTERM, Ctrl-C and the end of the terminal instead of dying of them; a second one is obeyed at once.

    Of several processes, JAX collects SIGTERM and tells the others; the other two become a SIGTERM, so all of them
    save. A failure that leaves this block waits for a peer whose death may be behind it (`watch.settle`).
    """
    asked, before = [], {}
    several = jax.process_count() > 1

    def handler(signum, frame):
        if signum == signal.SIGHUP:
            hangup.silence()
        asked.append(signum)
        signal.signal(signum, before[signum])
        if several:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        # With several processes SIGTERM is JAX's: its handler must not be replaced.
        for signum in (signal.SIGINT, signal.SIGHUP, *([] if several else [signal.SIGTERM])):
            if signum != signal.SIGHUP or hangup.answered():
                before[signum] = signal.signal(signum, handler)
    except ValueError:  # not in the main thread (a notebook's worker, say): signals are the caller's
        pass
    try:
        yield asked
    except Exception:
        watch.settle()
        raise
    finally:
        for signum, old in before.items():
            signal.signal(signum, old)
