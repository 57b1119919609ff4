"""Signs of life of the worker clusters: who beats, how an idle cluster is probed.

Owns the ClusterHeartbeat rows and the probe tasks. Doesn't decide what a missing beat
means (the supervisor does) nor start anything.

A beat is written by a worker that took a task from its cluster's queue, never by a
process that merely lives: a respawned worker may wait for ever on a lock that its killed
predecessor held. An idle cluster takes no tasks, so its supervisor sends it a probe.
All clusters share one queue, and a probe in it would prove some cluster alive, most
likely a healthy one, instead of the one in doubt. Therefore each cluster has a second
queue of its own (`probe_queue`), from which its broker takes as well and no other does.
It lies in our own database, whatever broker carries the tasks: that the workers live can
be told while the broker is out of reach.
A probe is due only after the last one was acknowledged, so a cluster that runs tasks but
acknowledges none (its monitor hangs) stops beating as soon as it is idle.

All times are the database's own: machines whose clocks differ agree on an age.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import socket
import threading
import time
from typing import Any, NamedTuple

import django.db
import psutil
from django.db import connection, transaction
from django.db.models import F, Max
from django.db.models.functions import Now
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signals import post_execute_in_worker, pre_execute
from django_q.tasks import async_task

from operations.models import ClusterHeartbeat

logger = logging.getLogger("operations.queue")

CLUSTER_VARIABLE = "ENCORE_CLUSTER"
BEAT_SECONDS = 1.0
DEAD_AFTER = dt.timedelta(hours=1)
PROBE_TASK = "operations.queue.heartbeat.probe"


class ClusterNameTaken(Exception):
    """A live supervisor on this machine runs a cluster of this name."""


class Beat(NamedTuple):
    at: dt.datetime
    age_seconds: float


# --- inside a worker ----------------------------------------------------------


def current_cluster() -> str:
    """The cluster this process belongs to; empty outside a supervised cluster."""
    return os.environ.get(CLUSTER_VARIABLE, "")


def beat() -> None:
    """Show that this worker is at work. For tasks to call, as often as they like.

    Writes at most once a second, and nothing outside a cluster or inside a transaction
    (there it would hold up every other worker of the cluster until the commit). Never
    raises for the database's sake: a beat that can't be written is a missing beat.
    """
    _pulse.beat()


def connect_worker_signals() -> None:
    """Make the workers that this process will fork beat."""
    pre_execute.connect(_pulse.task_starts, dispatch_uid="operations.queue.heartbeat")
    post_execute_in_worker.connect(_pulse.task_ends, dispatch_uid="operations.queue.heartbeat")


def probe() -> None:
    """The task that idle clusters run: the worker that takes it beats before it starts."""


class _Pulse:
    """The beats of one worker process.

    A task may work for long in one piece (a provider's answer, a slow statement): while
    it runs, a thread beats for it, but no longer than the queue's own `timeout`, after
    which the task should have been stopped and the cluster is in trouble if it wasn't.

    There is no beat at a task's end: the worker holds a lock there that the sentinel
    waits for, which must not last a round trip to the database.
    """

    def __init__(self) -> None:
        self._beat_at = float("-inf")
        self._task_started_at: float | None = None
        self._thread: threading.Thread | None = None

    def task_starts(self, **signal: Any) -> None:
        self._task_started_at = time.monotonic()
        if self._thread is None:
            self._thread = threading.Thread(target=self._keep_beating, daemon=True)
            self._thread.start()
        self.beat()

    def task_ends(self, **signal: Any) -> None:
        self._task_started_at = None

    def beat(self) -> bool:
        now = time.monotonic()
        cluster = current_cluster()
        if not cluster or now - self._beat_at < BEAT_SECONDS:
            return False
        try:
            if connection.in_atomic_block:
                return False
            self._beat_at = now
            ClusterHeartbeat.objects.filter(cluster=cluster).update(beat_at=Now())
        except django.db.Error as error:
            logger.warning("Cluster %s: a beat could not be written: %s", cluster, error)
        return True

    def _keep_beating(self) -> None:
        while True:
            time.sleep(BEAT_SECONDS)
            started_at = self._task_started_at
            if started_at is None or time.monotonic() - started_at > (Conf.TIMEOUT or 0):
                continue
            if self.beat():
                connection.close()  # this thread's own, needed by few tasks


_pulse = _Pulse()


# --- beside a cluster: its supervisor ------------------------------------------


def register(cluster: str, *, workers: int) -> None:
    """Create the row of `cluster`, in place of one that an earlier run left behind.

    The row counts as never having beaten. Raises ClusterNameTaken.
    """
    left_over = ClusterHeartbeat.objects.filter(cluster=cluster).first()
    if left_over and _is_supervised(left_over):
        raise ClusterNameTaken(
            f"A supervisor with process id {left_over.pid} runs cluster {cluster!r} on this "
            "machine: choose another name with --cluster."
        )
    with transaction.atomic():
        remove(cluster)
        ClusterHeartbeat.objects.create(
            cluster=cluster,
            hostname=socket.gethostname(),
            pid=os.getpid(),
            workers=workers,
            started_at=Now(),
            beat_at=Now(),
        )


def remove(*clusters: str) -> None:
    """Remove the rows and probes of `clusters`. Idempotent."""
    remove_probes(*clusters)
    ClusterHeartbeat.objects.filter(cluster__in=clusters).delete()


def remove_dead() -> None:
    """Remove what clusters that died hard left behind, on whatever machine."""
    dead = ClusterHeartbeat.objects.filter(beat_at__lt=Now() - DEAD_AFTER)
    if names := list(dead.values_list("cluster", flat=True)):
        remove(*names)


def read(cluster: str) -> Beat | None:
    """The last beat of `cluster` and its age; None if it has no row."""
    row = (
        ClusterHeartbeat.objects.filter(cluster=cluster)
        .values_list("beat_at", Now() - F("beat_at"))
        .first()
    )
    return Beat(row[0], row[1].total_seconds()) if row else None


def count_restart(cluster: str) -> None:
    ClusterHeartbeat.objects.filter(cluster=cluster).update(restarts=F("restarts") + 1)


def probe_queue(cluster: str) -> str:
    """The queue from which `cluster` alone takes."""
    return f"{Conf.CLUSTER_NAME}:probe:{cluster}"


def send_probe(cluster: str) -> None:
    """Give `cluster` a probe to run, unless one waits for it or was not acknowledged."""
    queue = probe_queue(cluster)
    if not OrmQ.objects.filter(key=queue).exists():
        async_task(PROBE_TASK, broker=ORM(queue), task_name=queue, save=False)


def remove_probes(*clusters: str) -> None:
    OrmQ.objects.filter(key__in=[probe_queue(cluster) for cluster in clusters]).delete()


def _is_supervised(row: ClusterHeartbeat) -> bool:
    """Is the process that made `row` still there? False for another machine's."""
    if row.hostname != socket.gethostname():
        return False
    try:
        # A process that is younger than the row has only inherited its number.
        return psutil.Process(row.pid).create_time() <= row.started_at.timestamp()
    except psutil.NoSuchProcess:
        return False


# --- anywhere ------------------------------------------------------------------


def latest_beat() -> dt.datetime | None:
    """When a worker of any cluster last showed that it runs tasks."""
    latest: dt.datetime | None = _beating().aggregate(latest=Max("beat_at"))["latest"]
    return latest


def is_queue_alive(max_age_seconds: float) -> bool:
    """Has a worker of any cluster run something within `max_age_seconds`?"""
    since = Now() - dt.timedelta(seconds=max_age_seconds)
    return _beating().filter(beat_at__gte=since).exists()


def _beating() -> django.db.models.QuerySet[ClusterHeartbeat]:
    # A row is made with beat_at = started_at, by a supervisor: not yet a beat.
    return ClusterHeartbeat.objects.filter(beat_at__gt=F("started_at"))
