"""A real worker cluster for the time of one run, watched for the memory it takes.

Owns starting it, being its dispatcher, and ending it. It dies with this process, however
that ends (operations.queue.cluster sees to it).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import psutil

from operations.dispatcher import dispatch_due
from operations.queue import heartbeat
from operations.queue.tree import ClusterTree

CLUSTER = "benchmark"
POLL_SECONDS = 0.1
DISPATCH_SECONDS = 1.0
START_SECONDS = 60.0


class WorkersStopped(Exception):
    """The cluster died, or took longer than anybody would wait for."""


class Workers:
    """`count` worker processes, up and running inside the `with` block."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._processes: list[psutil.Process] = []
        self._peak_rss: dict[int, int] = {}
        self._cpu_seconds: dict[int, float] = {}

    @property
    def peak_rss_mb(self) -> float:
        """The most resident memory the busiest worker was seen with.

        The queue's other processes are forks of the same parent and only hand tasks on:
        the one that used the most processor time is a worker.
        """
        busiest = max(self._cpu_seconds, key=self._cpu_seconds.__getitem__)
        return self._peak_rss[busiest] / 2**20

    def __enter__(self) -> Self:
        heartbeat.register(CLUSTER, workers=self._count)
        self._tree = ClusterTree(cluster=CLUSTER, workers=self._count)
        try:
            heartbeat.send_probe(CLUSTER)
            self.wait_until(
                lambda: heartbeat.latest_beat() is not None, deadline_seconds=START_SECONDS
            )
            self._processes = psutil.Process(self._tree.pid).children(recursive=True)
        except BaseException:
            self._tree.kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tree.kill()

    def wait_until(self, condition: Callable[[], bool], *, deadline_seconds: float) -> None:
        """Poll `condition`, dispatching what is due meanwhile. Raises WorkersStopped."""
        now = time.monotonic()
        deadline, dispatch_at = now + deadline_seconds, now + DISPATCH_SECONDS
        while not condition():
            self._sample_memory()
            now = time.monotonic()
            if now >= dispatch_at:
                dispatch_at = now + DISPATCH_SECONDS
                dispatch_due()
            if not self._tree.is_running():
                raise WorkersStopped("The worker cluster has ended by itself.")
            if now > deadline:
                raise WorkersStopped(f"Not done after {deadline_seconds:.0f} s.")
            time.sleep(POLL_SECONDS)
        self._sample_memory()

    def _sample_memory(self) -> None:
        for process in self._processes:
            # A process that has just ended is no loss.
            with suppress(psutil.NoSuchProcess):
                rss, cpu = process.memory_info().rss, process.cpu_times()
                self._peak_rss[process.pid] = max(rss, self._peak_rss.get(process.pid, 0))
                self._cpu_seconds[process.pid] = cpu.user + cpu.system
