"""The main process of one worker cluster: `python -m operations.queue.cluster`.

Owns what must be so inside the cluster's processes: that each dies with its parent, and
that the workers beat. Started by `operations.queue.tree` alone; everything else about
the cluster is django-q's.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

import django

PARENT_VARIABLE = "ENCORE_CLUSTER_PARENT"
PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` dies, and so on for each fork.

    However a process of the tree ends, nothing below it stays behind. Linux only;
    elsewhere the supervisor's clean-up has to do. It is the parent's *thread* that
    counts, so clusters must be started, and fork, in main threads (they do). A program
    that a task starts with `subprocess` isn't bound: exec'd without this handler.
    """
    if sys.platform != "linux":
        return
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    own = os.getpid()

    def arm(parent: int) -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The parent may have died before the kernel was told to watch it.
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    def arm_fork() -> None:
        nonlocal own
        parent, own = own, os.getpid()
        arm(parent)

    arm(parent)
    os.register_at_fork(after_in_child=arm_fork)


def main() -> int:
    """Run until SIGTERM (drains and ends with 0) or until the sentinel dies (1)."""
    die_with_parent(int(os.environ[PARENT_VARIABLE]))
    django.setup()
    # Both need the settings.
    from django_q.cluster import Cluster

    from operations.queue import heartbeat

    heartbeat.connect_worker_signals()
    cluster = Cluster()
    cluster.start()
    cluster.sentinel.join()
    return 0 if cluster.sentinel.exitcode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
