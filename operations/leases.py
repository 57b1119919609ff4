"""Who may work on a job: claim, hold, give back.

A lease is a token and an end on the job's row. Claims, steps and releases each lock that
row, so a job is worked on by one worker however often it is delivered, and a worker that
was thought dead can't write once another has claimed its job. All times are the
database's, so that clocks of machines don't matter.

Locks are taken in one order everywhere: the job's row, then its operation's.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, NamedTuple

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.text import Truncator

from operations import events
from operations.exceptions import LeaseLost
from operations.gates import Wait
from operations.gates.concurrency import concurrency
from operations.gates.verdict import is_same_cause
from operations.kinds import Kind
from operations.models import Job, Operation

logger = logging.getLogger("operations.leases")

# The dispatcher looks a moment after a lease has run out, not at the same instant.
GRACE = dt.timedelta(seconds=1)
# What another system says of itself may be longer than a page has room for.
LONGEST_REASON = 255


class Refusal(StrEnum):
    NOT_TAKEN = "not_taken"  # done, held by somebody else, or not due yet
    WAITING = "waiting"  # no place free
    ENDED = "ended"  # the operation isn't to go on: somebody must settle it


class Claim(NamedTuple):
    job: Job | None
    refusal: Refusal | None


def lease() -> dt.timedelta:
    return dt.timedelta(seconds=settings.OPERATION_LEASE_SECONDS)


def claim(kind: Kind[Any], job_id: Any) -> Claim:
    """Take the job if it is free, due and there is a place; commits `attempts + 1` with it.

    Redelivered, duplicate and early deliveries find it taken and change nothing.
    """
    with transaction.atomic():
        _end_if_frozen()
        job = (
            kind.job._default_manager.select_for_update(skip_locked=True, of=("self",))
            .with_operation()
            .filter(
                Q(lease_until=None) | Q(lease_until__lte=Now()),
                Q(not_before=None) | Q(not_before__lte=Now()),
                pk=job_id,
                status__in=[kind.job.Status[name] for name in kind.job.RUNNABLE],
            )
            .first()
        )
        if job is None:
            return Claim(None, Refusal.NOT_TAKEN)
        if not kind.jobs_of(job.operation).filter(pk=job.pk).exists():
            job.take("pause", due_at=None)  # left over from an earlier run
            return Claim(None, Refusal.NOT_TAKEN)
        if not job.operation.is_runnable or job.operation.requested:
            return Claim(job, Refusal.ENDED)
        if wait := concurrency(kind):
            postpone(kind, job, wait)
            return Claim(None, Refusal.WAITING)
        _count_queueing(kind, job)
        job.lease_token = uuid.uuid4()
        job.take(
            "start",
            lease_token=job.lease_token,
            lease_until=Now() + lease(),
            due_at=Now() + lease() + GRACE,
            heartbeat_at=Now(),
            started_at=job.started_at or timezone.now(),
            attempts=F("attempts") + 1,
            deliveries=0,  # counts those that nobody took
        )
        job.refresh_from_db(fields=["attempts"])
        return Claim(job, None)


def _count_queueing(kind: Kind[Any], job: Job) -> None:
    """Since its worker gave it back the job stood in the queue: that is no work, unless a sibling
    was at it meanwhile. A wait that was told is counted when it ends."""
    if not job.steps or job.lease_token or job.heartbeat_at is None or job.operation.waiting_since:
        return
    siblings = kind.jobs_of(job.operation).exclude(pk=job.pk)
    queued = (timezone.now() - job.heartbeat_at).total_seconds()
    if queued > 1 and not siblings.filter(heartbeat_at__gt=job.heartbeat_at).exists():
        operations = type(job.operation)._default_manager.filter(pk=job.operation_id)
        operations.update(waited_seconds=F("waited_seconds") + queued)


def hold(job: Job) -> Job:
    """The job's row as it is now, locked to the end of the transaction. Raises LeaseLost."""
    _end_if_frozen()
    held = (
        type(job)
        ._default_manager.select_for_update(of=("self",))
        .with_operation()
        .filter(pk=job.pk, lease_token=job.lease_token)
        .first()
    )
    if held is None or job.lease_token is None:
        raise LeaseLost(f"{job} is no longer this worker's.")
    return held


@contextmanager
def kept(job: Job) -> Iterator[None]:
    """Extend the lease while the block runs, however long it takes: for calls to others, which
    hold no transaction. A worker that dies stops extending with it. One that lost its lease
    isn't told here; it finds out at its next `hold`."""
    ended = threading.Event()
    every = settings.OPERATION_LEASE_SECONDS / 3

    def extend() -> None:
        try:
            while not ended.wait(every):
                type(job)._default_manager.filter(
                    pk=job.pk, lease_token=job.lease_token, lease_until__gt=Now()
                ).update(lease_until=Now() + lease(), due_at=Now() + lease() + GRACE)
        except DatabaseError as error:
            logger.warning("The lease of %s could not be extended: %s", job, error)
        finally:
            connection.close()  # this thread's own

    thread = threading.Thread(target=extend, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _end_if_frozen() -> None:
    """Have the server end this session if it keeps its transaction open and does nothing for
    a lease. The locks of a process that stands still (a machine that was suspended) would
    otherwise keep everybody else from taking over, for as long as its connection lives."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('idle_in_transaction_session_timeout', %s, true)",
            [str(settings.OPERATION_LEASE_SECONDS * 1000)],
        )


def release(job: Job, *, due_at: dt.datetime | None = None) -> None:
    """Give the job back. Its row must be locked; with `due_at` nobody claims it before."""
    type(job)._default_manager.filter(pk=job.pk).update(
        lease_token=None, lease_until=None, not_before=due_at, due_at=due_at
    )


def postpone(kind: Kind[Any], job: Job, wait: Wait) -> None:
    """Give the job back for `wait.seconds` and tell why. Its row must be locked."""
    now = timezone.now()
    until = now + dt.timedelta(seconds=wait.seconds)
    release(job, due_at=until)
    _tell_waiting(kind, job, wait.reason, since=now, until=until)


def tell_not_taken(kind: Kind[Any], job: Job) -> None:
    """Tell that the job was delivered and nobody took it. Its row must be locked."""
    since = job.heartbeat_at or timezone.now()
    _tell_waiting(kind, job, "It waits for a free worker.", since=since, until=None)


def _tell_waiting(
    kind: Kind[Any], job: Job, reason: str, *, since: dt.datetime, until: dt.datetime | None
) -> None:
    """The operation counts as waiting only when none of its other jobs is running. There is one
    event per cause, however long it lasts; each further look tells watchers the new figures
    and time without one. `until`: when it is looked at again, where that is known."""
    operation = lock_operation(job)
    siblings = kind.jobs_of(operation).exclude(pk=job.pk)
    if not operation.is_runnable or siblings.filter(lease_until__gt=Now()).exists():
        return
    reason = Truncator(reason).chars(LONGEST_REASON)
    told_before = is_same_cause(operation.waiting_reason, reason)
    operation.waiting_reason = reason
    operation.waiting_since = operation.waiting_since or since
    operation.waiting_until = until
    operation.save(update_fields=["waiting_reason", "waiting_since", "waiting_until", "updated_at"])
    if told_before:
        events.announce_state(operation)
    else:
        events.append(
            operation,
            "waiting",
            stage=job.stage,
            payload={"message": reason, "until": until and until.isoformat()},
        )


def lock_operation(job: Job) -> Operation:
    """The job's operation as it is now, locked to the end of the transaction."""
    model = type(job.operation)
    return model._default_manager.select_for_update(no_key=True, of=("self",)).get(
        pk=job.operation_id
    )
