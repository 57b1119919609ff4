"""Telling an operation's watchers that it goes on without a signal that can't be read."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from operations import events, leases
from operations.gates.load.decision import unreadable
from operations.gates.load.reading import Reading
from operations.models import Event, Job


def tell_unreadable(job: Job, readings: Iterable[Reading]) -> None:
    """One feedback event per operation and signal, however often it is called.

    Raises LeaseLost. Not for use inside a step: it commits.
    """
    for reading in readings:
        with transaction.atomic():
            operation = leases.lock_operation(leases.hold(job))
            told = Event.objects.filter(
                kind=operation.kind,
                operation_id=str(operation.pk),
                name=f"{operation.kind}.feedback",
                payload__signal=reading.signal,
            )
            if not told.exists():
                events.append(
                    operation,
                    "feedback",
                    stage=job.stage,
                    payload={
                        "signal": reading.signal,
                        "message": f"{unreadable(reading)} It goes on without it "
                        "(LOAD_WHEN_UNREADABLE).",
                    },
                )
