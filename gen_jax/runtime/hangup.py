"""The end of the terminal: when it is answered, and what becomes of what is still printed."""

import os
import select
import signal
from contextlib import suppress


def answered() -> bool:
    """Whether SIGHUP is to be answered: not where it is ignored already, as nohup has it."""
    return signal.getsignal(signal.SIGHUP) != signal.SIG_IGN


def silence() -> None:
    """Leads what is still printed nowhere, where the terminal has gone: writing to it would fail."""
    for stream in (1, 2):
        with suppress(OSError):
            poll = select.poll()
            poll.register(stream, 0)  # the end of the other side is always told
            if poll.poll(0):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
