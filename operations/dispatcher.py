"""Waiting and recovery as one thing: what is due gets delivered.

A job is due when its wait is over, when its delivery was lost, or when its lease ran
out under a dead worker. Safe on every machine at once: rows another dispatcher holds
are skipped. While the broker is out of reach everything stays due, and is delivered as soon
as the broker is back.
"""

from __future__ import annotations

import logging

from django.db import transaction
from django.db.models.functions import Now

from operations import delivery, kinds, leases

logger = logging.getLogger("operations.dispatcher")

BATCH = 100


def dispatch_due() -> int:
    """Deliver up to BATCH due jobs of each kind. Returns how many; idempotent.

    Raises BrokerUnreachable when something is due and the broker doesn't answer.
    """
    delivered = 0
    for kind in kinds.all_kinds():
        jobs = kind.job._default_manager.filter(due_at__lte=Now())
        if not jobs.exists():
            continue
        delivery.check_broker()  # before any row is locked
        with transaction.atomic():
            due = list(
                jobs.select_for_update(skip_locked=True, of=("self",))
                .with_operation()
                .order_by("due_at")[:BATCH]
            )
            for job in due:
                if job.deliveries and job.lease_token is None:
                    leases.tell_not_taken(kind, job)
                delivery.enqueue(job)
        if due:
            logger.info("Delivered due jobs", extra={"fields": {"kind": kind.name, "n": len(due)}})
        delivered += len(due)
    return delivered
