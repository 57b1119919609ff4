"""`python -m config.stack.bound OWNER PROGRAM ARGUMENT…`: run a program that ends with its owner.

The kernel sends it SIGTERM when process OWNER dies, however that happens; the setting
outlives the exec. SIGTERM rather than SIGKILL: the program stops in order, and the last
user of the embedded PostgreSQL stops that too. Linux only; elsewhere an owner that is
killed hard leaves its children behind.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    owner, program, *arguments = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        # The owner may have died before the kernel was told to watch it.
        if os.getppid() != int(owner):
            sys.exit("The process that started this one has ended.")
    os.execv(program, [program, *arguments])  # noqa: S606 - our own argument list


if __name__ == "__main__":
    main()
