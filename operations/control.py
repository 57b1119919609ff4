"""Ending and steering an operation: fail, pause, cancel, resume, retry.

What a person asks for is written at once; it is *reached* when no step runs any more,
which `settle` finds out. Every function here is safe to call twice.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from operations import delivery, events, notifications
from operations.exceptions import InvalidTransition, Refused
from operations.kinds import Kind
from operations.models import Job, Operation

# How it ended, when it goes on or begins again.
_FORGOTTEN: dict[str, Any] = {
    "error_code": "",
    "error_message": "",
    "ended_at": None,
    "seen_at": None,
}


def request_pause(kind: Kind[Any], operation: Operation, *, by: Any = None) -> Operation:
    """Ask a runnable operation to pause. Raises InvalidTransition on any other, and Refused, also
    where it is being cancelled."""
    return _request(kind, operation, Operation.Request.PAUSE, "pause", kind.operation.RUNNABLE, by)


def request_cancel(kind: Kind[Any], operation: Operation, *, by: Any = None) -> Operation:
    """Ask an active operation to cancel; a cancel overrides a pause. Raises InvalidTransition
    and Refused."""
    return _request(kind, operation, Operation.Request.CANCEL, "cancel", kind.operation.ACTIVE, by)


def _request(
    kind: Kind[Any],
    operation: Operation,
    request: Operation.Request,
    edge: str,
    allowed: tuple[str, ...],
    by: Any,
) -> Operation:
    with transaction.atomic():
        operation = _lock(kind, operation.pk)
        if not operation.has_status(*allowed):
            raise InvalidTransition(operation, edge, operation.status)
        _ask(kind, operation, edge)
        if operation.requested == Operation.Request.CANCEL and request != operation.requested:
            raise Refused(f"{operation} is being cancelled already.")
        if operation.requested != request:
            operation.requested = request
            operation.save(update_fields=["requested", "updated_at"])
            events.append(operation, f"{edge}_requested", payload={"by": _name(by)})
        # Where no worker is at it nobody else would ever come to reach it.
        settle(kind, operation.pk)
    # A worker may have let a job go meanwhile, before it could see what was asked for.
    settle(kind, operation.pk)
    operation.refresh_from_db()
    return operation


def settle(kind: Kind[Any], operation_id: Any) -> None:
    """Reach what was asked for, once no job of the operation is being worked on.

    Also parks the jobs of an operation that ended without them. A job whose row is locked
    has a worker, and that worker comes here when it stops.
    """
    with transaction.atomic():
        operation = kind.operation._default_manager.get(pk=operation_id)
        idle = list(
            _open_jobs(kind, operation)
            .filter(Q(lease_until=None) | Q(lease_until__lte=Now()))
            .select_for_update(skip_locked=True, of=("self",))
        )
        operation = _lock(kind, operation_id)
        if operation.is_runnable and not operation.requested:
            return
        for job in idle:
            job.take("pause", due_at=None, lease_token=None, lease_until=None)
        # Asked anew: another run may have begun before the row was locked.
        if _open_jobs(kind, operation).exists() or not operation.requested:
            return
        if operation.requested == Operation.Request.CANCEL:
            told = words_payload(kind, operation)
            _end(operation, "cancel", requested="")
            kind.on_cancelled(operation)
            events.append(operation, "cancelled", payload=told)
        else:
            operation.take("pause", requested="", **_stand_still(operation))
            events.append(operation, "paused", payload={"question": kind.question(operation)})


def resume(kind: Kind[Any], operation: Operation, *, by: Any = None) -> Operation:
    """Go on with a paused operation, or withdraw a pause that was not reached yet. Raises
    InvalidTransition on any other."""
    return _go_on(kind, operation, "resume", "resumed", by)


def retry(kind: Kind[Any], operation: Operation, *, by: Any = None) -> Operation:
    """Go on with a failed operation from the step that failed. Raises InvalidTransition."""
    return _go_on(kind, operation, "retry", "retried", by)


def _go_on(kind: Kind[Any], operation: Operation, edge: str, event: str, by: Any) -> Operation:
    with transaction.atomic():
        operation = kind.operation._default_manager.get(pk=operation.pk)
        # Jobs first, as everywhere; those still in a worker's hands settle by themselves.
        stopped = list(
            kind.jobs_of(operation)
            .filter(status__in=[kind.job.Status["PAUSED"], kind.job.Status["FAILED"]])
            .select_for_update(of=("self",))
        )
        operation = _lock(kind, operation.pk)
        _ask(kind, operation, edge)
        if edge == "resume" and operation.display_status == "pausing":
            operation.requested = Operation.Request.NONE
            operation.save(update_fields=["requested", "updated_at"])
        elif edge == "resume":
            operation.take(edge, **_cleared(operation))
        else:
            operation.take(edge, **_FORGOTTEN, **_cleared(operation))
        events.append(operation, event, payload={"by": _name(by)})
        kind.on_resumed(operation)
        if not operation.has_status("IN_PROGRESS"):
            return operation  # its kind has found nothing to go on with
        for job in stopped:
            job.take(
                "resume", attempts=0, deliveries=0, error_code="", error_message="", traceback=""
            )
            job.deliveries = 0
            delivery.enqueue(job)
    return operation


def begin_again(kind: Kind[Any], operation: Operation, *, by: Any = None, **changes: Any) -> None:
    """Ready an idle operation, of a kind that runs again and again, for another run: what is told
    of the last one is forgotten (progress, times, error, the bell's), `changes` are written, and
    whoever watches sees the new one.

    In the caller's transaction, with the operation's row locked; `jobs_of` must still answer the
    last run's jobs until then. The caller adds the first job afterwards. Raises InvalidTransition
    where no edge leads to PENDING, and Refused while a worker has a job of the last run in hand.
    """
    if kind.jobs_of(operation).filter(lease_until__gt=Now()).exists():
        raise Refused(f"The last run of {operation} is just coming to its end: try again soon.")
    changes = {
        **_FORGOTTEN,
        "requested": "",
        "progress": {},
        "waiting_reason": "",
        "waiting_since": None,
        "waiting_until": None,
        "waited_seconds": 0,
        "started_at": None,
        **changes,
    }
    if operation.has_status("PENDING"):
        for name, value in changes.items():
            setattr(operation, name, value)
        operation.save(update_fields=[*changes, "updated_at"])
    else:
        operation.take("schedule", **changes)
    events.append(
        operation, "run_requested", payload={"by": _name(by), **words_payload(kind, operation)}
    )


def schedule(operation: Operation, **changes: Any) -> None:
    """Have it wait for its next run: from Kind.stage_completed after `complete`, or on_resumed
    where there is no run to go on with. Raises InvalidTransition."""
    operation.take("schedule", **changes)
    events.append(operation, "scheduled")


def complete(operation: Operation, *, payload: dict[str, Any], **changes: Any) -> None:
    """The operation's end. Its row must be locked (call it from Kind.stage_completed)."""
    _end(operation, "complete", **changes)
    ended_at = operation.ended_at.isoformat() if operation.ended_at else None
    events.append(operation, "completed", payload={"completed_at": ended_at, **payload})


def fail(kind: Kind[Any], job: Job, *, code: str, message: str, trace: str) -> None:
    """Fail `job` and its operation with it. The job's row must be locked."""
    job.take(
        "fail",
        error_code=code,
        error_message=message,
        traceback=trace,
        ended_at=timezone.now(),
        due_at=None,
        lease_token=None,
        lease_until=None,
    )
    operation = _lock(kind, job.operation_id)
    if not operation.is_runnable:
        return  # another lane was first
    _end(
        operation,
        "fail",
        error_code=code,
        error_message=message,
        requested="",
        **_stand_still(operation),
    )
    kind.on_failed(operation)
    events.append(
        operation,
        "failed",
        stage=job.stage,
        payload={"error_code": code, "message": message, "job_class": job.name},
    )


def fail_to_begin(operation: Operation, *, code: str, message: str) -> None:
    """Fail an operation of a kind that runs again and again whose next run couldn't even begin;
    one that failed already says this from then on.

    In the caller's transaction, with the operation's row locked. Safe to call again: the same
    message is told once. Raises InvalidTransition on one that is paused, cancelled or completed.
    """
    told = {"error_code": code, "error_message": message}
    if not operation.has_status("FAILED"):
        _end(operation, "fail", **told, requested="", **_stand_still(operation))
    elif (operation.error_code, operation.error_message) == (code, message):
        return
    else:
        for name, value in told.items():
            setattr(operation, name, value)
        operation.save(update_fields=[*told, "updated_at"])
    events.append(operation, "failed", payload={"error_code": code, "message": message})


def clear_waiting(operation: Operation) -> list[str]:
    """Forget why the operation waited and add the time to what it waited in all.

    Changes the instance only; returns the fields to save.
    """
    if operation.waiting_since:
        waited = timezone.now() - operation.waiting_since
        operation.waited_seconds += waited.total_seconds()
    operation.waiting_reason = ""
    operation.waiting_since = operation.waiting_until = None
    return ["waiting_reason", "waiting_since", "waiting_until", "waited_seconds"]


def _ask(kind: Kind[Any], operation: Operation, verb: str) -> None:
    if reason := kind.refusal(operation, verb):
        raise Refused(reason)


def _stand_still(operation: Operation) -> dict[str, Any]:
    """From now on it waits for a person: that time is no work either."""
    return {**_cleared(operation), "waiting_since": timezone.now()}


def _cleared(operation: Operation) -> dict[str, Any]:
    return {name: getattr(operation, name) for name in clear_waiting(operation)}


def _end(operation: Operation, edge: str, **changes: Any) -> None:
    if operation.ended_at:  # its last run did: what ends now had not begun
        changes = {"started_at": None, "seen_at": None, **changes}
    operation.take(edge, ended_at=timezone.now(), **{**_cleared(operation), **changes})
    notifications.announce(operation)


def _open_jobs(kind: Kind[Any], operation: Operation) -> QuerySet[Any]:
    runnable = [kind.job.Status[name] for name in kind.job.RUNNABLE]
    return kind.jobs_of(operation).filter(status__in=runnable)


def _lock(kind: Kind[Any], operation_id: Any) -> Operation:
    manager = kind.operation._default_manager
    return manager.select_for_update(no_key=True, of=("self",)).get(pk=operation_id)


def words_payload(kind: Kind[Any], operation: Operation) -> dict[str, str]:
    """What an event in which it begins or ends holds besides."""
    text = kind.in_words(operation)
    return {"message": text} if text else {}


def _name(user: Any) -> str:
    return user.get_username() if user else ""
