"""Ending and steering an operation: fail, pause, cancel, resume, retry.

What a person asks for is written at once; it is *reached* when no step runs any more,
which `settle` finds out. Every function here is safe to call twice.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from operations import delivery, events, notifications
from operations.exceptions import InvalidTransition, Refused
from operations.kinds import Kind
from operations.models import Job, Operation


def request_pause(kind: Kind[Any], operation: Operation, *, by: Any = None) -> Operation:
    """Ask a runnable operation to pause. Raises InvalidTransition on any other, and Refused."""
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
        if operation.requested not in (request, Operation.Request.CANCEL):
            operation.requested = request
            operation.save(update_fields=["requested", "updated_at"])
            events.append(operation, f"{edge}_requested", payload={"by": _name(by)})
    settle(kind, operation.pk)
    operation.refresh_from_db()
    return operation


def settle(kind: Kind[Any], operation_id: int) -> None:
    """Reach what was asked for, once no job of the operation is being worked on.

    Also parks the jobs of an operation that ended without them. A job whose row is locked
    has a worker, and that worker comes here when it stops.
    """
    with transaction.atomic():
        open_jobs = kind.job._default_manager.filter(
            **{kind.job.operation_field: operation_id},
            status__in=[kind.job.Status[name] for name in kind.job.RUNNABLE],
        )
        idle = list(
            open_jobs.filter(Q(lease_until=None) | Q(lease_until__lte=Now())).select_for_update(
                skip_locked=True, of=("self",)
            )
        )
        operation = _lock(kind, operation_id)
        if operation.is_runnable and not operation.requested:
            return
        for job in idle:
            job.take("pause", due_at=None, lease_token=None, lease_until=None)
        if open_jobs.exists() or not operation.requested:
            return
        if operation.requested == Operation.Request.CANCEL:
            _end(operation, "cancel", requested="")
            kind.on_cancelled(operation)
            events.append(operation, "cancelled")
        else:
            operation.take("pause", requested="", **_stand_still(operation))
            events.append(operation, "paused")


def resume(kind: Kind[Any], operation: Operation, *, by: Any = None) -> Operation:
    """Go on with a paused operation, or withdraw a pause that was not reached yet. Raises
    InvalidTransition on any other."""
    return _go_on(kind, operation, "resume", "resumed", by)


def retry(kind: Kind[Any], operation: Operation, *, by: Any = None) -> Operation:
    """Go on with a failed operation from the step that failed. Raises InvalidTransition."""
    return _go_on(kind, operation, "retry", "retried", by)


def _go_on(kind: Kind[Any], operation: Operation, edge: str, event: str, by: Any) -> Operation:
    with transaction.atomic():
        # Jobs first, as everywhere; those still in a worker's hands settle by themselves.
        stopped = list(
            kind.job._default_manager.filter(
                **{kind.job.operation_field: operation.pk},
                status__in=[kind.job.Status["PAUSED"], kind.job.Status["FAILED"]],
            ).select_for_update(of=("self",))
        )
        operation = _lock(kind, operation.pk)
        _ask(kind, operation, edge)
        if edge == "resume" and operation.display_status == "pausing":
            operation.requested = Operation.Request.NONE
            operation.save(update_fields=["requested", "updated_at"])
        else:
            operation.take(
                edge,
                error_code="",
                error_message="",
                ended_at=None,
                seen_at=None,
                **_cleared(operation),
            )
        kind.on_resumed(operation)
        events.append(operation, event, payload={"by": _name(by)})
        for job in stopped:
            job.take(
                "resume", attempts=0, deliveries=0, error_code="", error_message="", traceback=""
            )
            job.deliveries = 0
            delivery.enqueue(job)
    return operation


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
    operation.take(edge, ended_at=timezone.now(), **{**_cleared(operation), **changes})
    notifications.announce(operation)


def _lock(kind: Kind[Any], operation_id: int) -> Operation:
    manager = kind.operation._default_manager
    return manager.select_for_update(no_key=True, of=("self",)).get(pk=operation_id)


def _name(user: Any) -> str:
    return user.get_username() if user else ""
