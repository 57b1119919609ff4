"""No more than so many jobs of a kind at once, over all machines."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from operations.gates.verdict import Wait
from operations.kinds import Kind

WAIT_SECONDS = 5
# Any fixed number: the first half of the advisory lock's key, ours against other users'.
LOCK_SPACE = 0x0E9C


def concurrency(kind: Kind[Any]) -> Wait | None:
    """Counts live leases. Call it in the transaction that takes one: an advisory lock held
    to its end keeps two claims from both taking the last place."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK_SPACE, kind.name])
    return no_place_free(kind)


def no_place_free(kind: Kind[Any]) -> Wait | None:
    """The same without the lock: for who only wants to know."""
    limit = settings.OPERATION_MAX_CONCURRENT_JOBS
    running = running_jobs(kind)
    if running < limit:
        return None
    return Wait(WAIT_SECONDS, f"{running} of at most {limit} {kind.name} jobs are running.")


def running_jobs(kind: Kind[Any]) -> int:
    """Jobs in a worker's hands, over all machines."""
    running: int = kind.job._default_manager.filter(lease_until__gt=Now()).count()
    return running
