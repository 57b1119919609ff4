"""What a toy's step does in the clusters that share the load: leave a trace and take a while.

The trace is part of the step: who ran it, and how many jobs had a lease meanwhile, itself
included.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from django.apps import AppConfig
from django.db.models.functions import Now

KIND = "shared-work"
STEP_SECONDS = 0.3


class SharedWorkConfig(AppConfig):
    name = "tests.operations.queue.shared_work"
    label = "shared_work"

    def ready(self) -> None:
        from tests.operations.toy import kind

        kind.before_commit = trace


class Trace(NamedTuple):
    job: int
    step: int
    cluster: str
    running: int


def trace(job: Any) -> None:
    from operations.models import Event
    from operations.queue.heartbeat import current_cluster

    running = type(job).objects.filter(lease_until__gt=Now()).count()
    # A step that was committed twice would break the events' unique constraint.
    Event.objects.create(
        kind=KIND,
        operation_id=str(job.pk),
        sequence=job.steps + 1,
        name=current_cluster(),
        payload={"running": running},
    )
    time.sleep(STEP_SECONDS)


def traces() -> list[Trace]:
    from operations.models import Event

    return [
        Trace(int(event.operation_id), event.sequence, event.name, event.payload["running"])
        for event in Event.objects.filter(kind=KIND)
    ]
