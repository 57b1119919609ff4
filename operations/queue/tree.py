"""The processes of one cluster, from the start of the first to the end of the last.

Owns starting, finding and killing them; knows nothing of the database.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress

import psutil
from django.conf import settings

from operations.queue.cluster import PARENT_VARIABLE
from operations.queue.heartbeat import CLUSTER_VARIABLE

TREE_VARIABLE = "ENCORE_CLUSTER_TREE"
POLL_SECONDS = 0.05


class ClusterTree:
    """A running cluster: its main process and everything that came of it.

    The main process leads a session of its own, so a terminal's Ctrl-C doesn't reach the
    workers. It is reaped only when its whole tree is gone: until then its process id,
    which is the session's too, can't be given to a stranger.
    """

    def __init__(self, *, cluster: str, workers: int) -> None:
        self._mark = uuid.uuid4().hex
        environment = {
            **os.environ,
            CLUSTER_VARIABLE: cluster,
            PARENT_VARIABLE: str(os.getpid()),
            TREE_VARIABLE: self._mark,
            "WORKERS": str(workers),  # as the settings read it
        }
        self._main = subprocess.Popen(
            [sys.executable, "-m", "operations.queue.cluster"],
            cwd=settings.BASE_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._main.pid

    def is_running(self) -> bool:
        """Is the main process there? Doesn't reap it."""
        try:
            return psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def terminate(self) -> None:
        """Ask for an orderly end: the workers finish what was dequeued already.

        The main process alone is told; a worker that got the signal would die of it and
        take its queue's lock along.
        """
        self._main.send_signal(signal.SIGTERM)

    def kill(self, *, timeout_seconds: float = 30.0) -> list[int]:
        """Kill the tree and wait until it is gone. Returns process ids that won't go.

        Those are stuck in the kernel. A new cluster beside them does no harm: it is like
        another machine's.
        """
        deadline = time.monotonic() + timeout_seconds
        while members := list(self._members()):
            if time.monotonic() > deadline:
                break
            for process in members:
                with suppress(psutil.Error):
                    process.kill()
            time.sleep(POLL_SECONDS)
        if not self.is_running():
            self._main.wait()
        return [process.pid for process in members]

    def _members(self) -> Iterator[psutil.Process]:
        """By session, or by the mark in the environment if they left the session."""
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.status() != psutil.STATUS_ZOMBIE and (
                    os.getsid(process.pid) == self.pid
                    or process.environ().get(TREE_VARIABLE) == self._mark
                ):
                    yield process
