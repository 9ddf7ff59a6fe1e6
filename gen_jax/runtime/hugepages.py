"""Memory in huge pages, which glibc asks of Linux only where its environment said so when the process began.

XLA asks malloc for its arrays anew at every call on a CPU, and each 4 KiB page that comes fresh from the system costs a
fault; of 2 MiB pages there are 512 times fewer. docs/performance.md has what that saves.
"""

import os
import sys
from pathlib import Path

VARIABLE = "GLIBC_TUNABLES"
ASKED = "glibc.malloc.hugetlb=1"  # madvise(MADV_HUGEPAGE) for what malloc takes from the system
POLICY = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def wanted() -> bool:
    """Whether asking would change anything: nobody has set the variable, and the system gives to those who ask."""
    return VARIABLE not in os.environ and POLICY.is_file() and "[madvise]" in POLICY.read_text()


def begin_again() -> None:
    """Starts this process anew, as itself, with the variable set; returns where that is not `wanted`.

    For a process that has done nothing yet: it has the same number and the same open files, and forgets the rest.
    """
    if wanted():
        os.environ[VARIABLE] = ASKED
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
