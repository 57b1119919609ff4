"""How long a job rests between its steps, to leave the database to others.

A step takes what it can get of the server's processors and of its write-ahead log, and
whoever commits meanwhile waits for both. With LOAD_SHARE_PERCENT the running jobs of a kind
are at it only for that share of the time, all of them together. It is no gate: nothing waits
for a condition, the job stays with its worker and just goes slower.
"""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings

from operations import leases
from operations.gates.concurrency import running_jobs
from operations.kinds import Kind
from operations.models import Job
from operations.queue import heartbeat

# Of a longer rest, between two looks whether it was asked to pause or to cancel.
LOOK_SECONDS = 1.0


def rest(kind: Kind[Any], job: Job, *, worked_seconds: float) -> None:
    """Sleep for as long as the step just taken asks for, or until something is asked of the
    operation; the lease is kept meanwhile. Not within a transaction."""
    share_percent = settings.LOAD_SHARE_PERCENT
    if share_percent <= 0:
        return
    left = rest_seconds(worked_seconds, running=running_jobs(kind), share_percent=share_percent)
    if left <= LOOK_SECONDS:
        time.sleep(left)
        return
    with leases.kept(job):
        while left > 0:
            time.sleep(min(left, LOOK_SECONDS))
            left -= LOOK_SECONDS
            heartbeat.beat()
            job.operation.refresh_from_db()
            if not job.operation.is_runnable or job.operation.requested:
                return


def rest_seconds(worked_seconds: float, *, running: int, share_percent: int) -> float:
    """What each of `running` jobs rests so that together they work `share_percent` of the
    time; 100 is what one job without rest would take."""
    worked_share = share_percent / 100 / max(running, 1)
    if worked_share >= 1:
        return 0.0
    return worked_seconds / worked_share - worked_seconds
