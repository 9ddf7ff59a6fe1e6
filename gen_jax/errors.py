"""What is told to the user in one line: input that cannot be used, and a run that was asked to stop."""

import contextlib
import sys


class InputError(ValueError):
    """Input refused before any work. The message is one line: what is wrong, then a hint."""


class Failed(RuntimeError):
    """A run ended before its time; FAILED.txt says why."""


class NonFinite(Failed):
    """A loss or the state stopped being finite: the run ends, the last good checkpoint stays."""


class Interrupted(Exception):
    """A signal asked a run to stop; it has been saved. `signum` says which."""

    def __init__(self, signum: int, step: int):
        super().__init__(f"stopped at step {step}")
        self.signum, self.step = signum, step


@contextlib.contextmanager
def in_one_line():
    """Ends a script whose input is refused inside, as `gen-jax` would: one line on stderr, exit status 2."""
    try:
        yield
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
