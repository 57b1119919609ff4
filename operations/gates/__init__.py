"""Gates: each looks at one thing before a step and says proceed, or wait and why.

They are asked in order and the first wait counts. Most look at what is the same for every
job of a kind; those of a job look at the job's own row. Pause and cancel requests are not
here: they end the run rather than delay it (see runner). Nor is the number of jobs at
once, which is asked when a job is claimed (concurrency).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from operations.gates.feature_flag import feature_flag
from operations.gates.load import database_load, step_latency
from operations.gates.throttle import exception_throttle
from operations.gates.verdict import Wait
from operations.kinds import Kind
from operations.models import Job

OF_A_KIND: tuple[Callable[[Kind[Any]], Wait | None], ...] = (
    feature_flag,
    exception_throttle,
    database_load,
)
OF_A_JOB: tuple[Callable[[Job], Wait | None], ...] = (step_latency,)


def first_wait(kind: Kind[Any], job: Job) -> Wait | None:
    """What holds this job's next step up."""
    if wait := first_wait_of_kind(kind):
        return wait
    for gate in OF_A_JOB:
        if wait := gate(job):
            return wait
    return None


def first_wait_of_kind(kind: Kind[Any]) -> Wait | None:
    """What holds every job of the kind up."""
    for gate in OF_A_KIND:
        if wait := gate(kind):
            return wait
    return None


__all__ = ["Wait", "first_wait", "first_wait_of_kind"]
