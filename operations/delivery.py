"""Putting jobs on the queue, and again when a delivery was lost.

A delivery is a hint as well: the job's row says what is to be done, `due_at` says when
somebody must see to it that it is delivered (again). With the ORM broker the enqueue is
part of the caller's transaction; with any other it happens at the commit, where nothing
can fail the caller any more, and what gets lost is enqueued by the dispatcher when
`due_at` has come.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.dispatch import receiver
from django_q.brokers import get_broker
from django_q.signals import pre_enqueue
from django_q.tasks import async_task

from operations import kinds
from operations.keys import as_json
from operations.models import Job, Operation
from operations.queue.remote import BrokerUnreachable

logger = logging.getLogger("operations.delivery")

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
    if _is_transactional():
        _put(job)
    else:
        transaction.on_commit(lambda: _put_after_commit(job), robust=True)


def check_broker() -> None:
    """Raise BrokerUnreachable if a delivery now would be lost. Never for our own database."""
    if not _is_transactional():
        get_broker().queue_size()


def _is_transactional() -> bool:
    return bool(settings.Q_CLUSTER.get("orm"))


def _put(job: Job) -> None:
    kind = job.operation.kind
    # Whatever the broker keeps tasks in, a number or a text comes through it.
    async_task(RUN_TASK, kind, as_json(job.pk), task_name=f"{kind}:{job.name}:{job.pk}")


@receiver(pre_enqueue)
def _keep_task_id(task: dict[str, Any], **signal: Any) -> None:
    """Write the task's id to its job, before the queue has the task.

    A worker may take it at once, and would find the row locked by this write and leave it.
    """
    if task["func"] == RUN_TASK:
        kind, job_id = task["args"]
        kinds.get(kind).job._default_manager.filter(pk=job_id).update(task_id=task["id"])


def _put_after_commit(job: Job) -> None:
    try:
        _put(job)
    except BrokerUnreachable as error:
        logger.error(
            "A job could not be put on the queue; the dispatcher will try again",
            extra={
                "fields": {"kind": job.operation.kind, "job": job.pk, "error": str(error)},
            },
        )
