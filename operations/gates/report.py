"""What the gates see right now, as plain data: for `manage.py load_report` and for pages.

Looks, and decides nothing that a job doesn't decide for itself: readings are this
process's own, so a worker's may be a few seconds older or younger.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Case, Q, When
from django.db.models.functions import Now
from django.utils import timezone

from operations import kinds
from operations.gates import first_wait_of_kind
from operations.gates.concurrency import no_place_free, running_jobs
from operations.gates.feature_flag import is_on
from operations.gates.load import Reading, readings
from operations.gates.load.latency import Latency, step_latency
from operations.gates.throttle import recent_exceptions
from operations.gates.verdict import Wait
from operations.keys import as_json
from operations.kinds import Kind
from operations.models import Job

# Of the jobs of one kind that are running or held up.
MAX_JOBS = 20


@dataclass(frozen=True)
class JobPace:
    """A job that is running or held up, and its own latency. `wait` is what its next step would
    be told, or its next claim if no worker has it; None: proceed."""

    operation_id: Any
    job_id: Any
    name: str
    latency: Latency
    wait: Wait | None


@dataclass(frozen=True)
class KindReport:
    """`wait` is what the next step of any job in a worker's hands would be told, `claim_wait` a
    worker that takes another job; None: proceed."""

    name: str
    wait: Wait | None
    claim_wait: Wait | None
    is_on: bool
    exceptions: int
    running: int
    jobs: list[JobPace]


@dataclass(frozen=True)
class LoadReport:
    at: dt.datetime
    readings: list[Reading]
    kinds: list[KindReport]

    @property
    def would_wait(self) -> bool:
        """Whether work that is under way would. That all places are taken is work as usual."""
        return any(kind.wait for kind in self.kinds)


def load_report() -> LoadReport:
    """Every signal, configured or not, and every kind. Writes nothing but a missing switch."""
    seen = readings()
    return LoadReport(
        at=timezone.now(), readings=seen, kinds=[_kind(kind) for kind in kinds.all_kinds()]
    )


def as_dict(report: LoadReport) -> dict[str, Any]:
    """The report for a program. Times in ISO 8601, durations in seconds."""
    return {
        "at": report.at.isoformat(),
        "would_wait": report.would_wait,
        "when_unreadable": settings.LOAD_WHEN_UNREADABLE,
        "readings": [
            {
                "signal": reading.signal,
                "state": str(reading.state),
                "value": reading.value,
                "limit": reading.limit,
                "unit": reading.unit.strip(),
                "age_seconds": reading.age_seconds(report.at),
                "why": reading.why,
            }
            for reading in report.readings
        ],
        "kinds": [
            {
                "kind": kind.name,
                "wait": _wait(kind.wait),
                "claim_wait": _wait(kind.claim_wait),
                "switch": kind.is_on,
                "exceptions": {
                    "count": kind.exceptions,
                    "limit": settings.OPERATION_THROTTLE_EXCEPTIONS,
                    "window_seconds": settings.OPERATION_THROTTLE_SECONDS,
                },
                "jobs": {"running": kind.running, "limit": settings.OPERATION_MAX_CONCURRENT_JOBS},
                "latency": [
                    {
                        "operation": as_json(pace.operation_id),
                        "job": as_json(pace.job_id),
                        "name": pace.name,
                        "ms_per_row": pace.latency.ms_per_row,
                        "slowdown": pace.latency.slowdown,
                        "limit": settings.LOAD_MAX_SLOWDOWN,
                        "wait": _wait(pace.wait),
                    }
                    for pace in kind.jobs
                ],
            }
            for kind in report.kinds
        ],
    }


def _kind(kind: Kind[Any]) -> KindReport:
    wait = first_wait_of_kind(kind)
    claim_wait = no_place_free(kind) or wait
    return KindReport(
        name=kind.name,
        wait=wait,
        claim_wait=claim_wait,
        is_on=is_on(kind),
        exceptions=recent_exceptions(kind).count(),
        running=running_jobs(kind),
        jobs=[_pace(job, claim_wait if job.is_free else wait) for job in _moving(kind)],
    )


def _moving(kind: Kind[Any]) -> list[Any]:
    """Its jobs, each with `is_free`: no worker has it."""
    jobs = kind.job._default_manager.filter(
        Q(lease_until__gt=Now()) | Q(not_before__gt=Now()),
        status__in=[kind.job.Status[name] for name in kind.job.RUNNABLE],
    )
    held = Q(lease_until__gt=Now())
    return list(
        jobs.annotate(is_free=Case(When(held, then=False), default=True)).order_by("pk")[:MAX_JOBS]
    )


def _pace(job: Job, wait: Wait | None) -> JobPace:
    """`wait`: what its kind's gates would say."""
    wait = wait or step_latency(job)
    return JobPace(job.operation_id, job.pk, job.name, Latency.of(job), wait)


def _wait(wait: Wait | None) -> dict[str, Any] | None:
    return {"seconds": round(wait.seconds, 1), "reason": wait.reason} if wait else None
