"""Putting jobs on the queue, and again when a delivery was lost.

A delivery is a hint as well: the job's row says what is to be done, `due_at` says when
somebody must see to it that it is delivered (again). With the ORM broker the enqueue is
part of the caller's transaction; with any other it happens at the commit, and what gets
lost between is enqueued by the dispatcher when `due_at` has come.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django_q.tasks import async_task

from operations.models import Job, Operation

RUN_TASK = "operations.tasks.run"
REDELIVER_AFTER = dt.timedelta(seconds=30)
MAX_DOUBLINGS = 5


def add_job(
    model: type[Job], operation: Operation, *, name: str, stage: str, lane: int = 0, **fields: Any
) -> Job:
    """Create a job of `operation` and enqueue it, in the caller's transaction."""
    job = model._default_manager.create(
        **{model.operation_field: operation}, name=name, stage=stage, lane=lane, **fields
    )
    enqueue(job)
    return job


def enqueue(job: Job) -> None:
    """Deliver `job` to a worker now; redelivered later unless a worker claims it.

    Each delivery that nobody took doubles the time to the next one, so that a long queue
    isn't filled with copies of the same task.
    """
    doublings = min(job.deliveries, MAX_DOUBLINGS)
    manager = type(job)._default_manager
    manager.filter(pk=job.pk).update(
        due_at=Now() + REDELIVER_AFTER * 2**doublings, deliveries=doublings + 1, not_before=None
    )
    if "orm" in settings.Q_CLUSTER:
        _put(job)
    else:
        transaction.on_commit(lambda: _put(job), robust=True)


def _put(job: Job) -> None:
    kind = job.operation.kind
    task_id = async_task(RUN_TASK, kind, job.pk, task_name=f"{kind}:{job.name}:{job.pk}")
    type(job)._default_manager.filter(pk=job.pk).update(task_id=task_id)
