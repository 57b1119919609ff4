"""Waiting for the end of an operation that faults happened to, on however slow a machine."""

import time

from operations import kinds
from tests.processes import wait_until

# No lease, wait or redelivery of these tests keeps an operation still for so long.
STILL_SECONDS = 120
LONGEST_SECONDS = 1_800


def wait_for_the_end(operation):
    """Fails where no job of it has taken a step for STILL_SECONDS."""
    jobs_of = kinds.get(operation.kind).jobs_of
    moved = (-1, time.monotonic())

    def has_ended():
        nonlocal moved
        operation.refresh_from_db()
        steps = sum(jobs_of(operation).values_list("steps", flat=True))
        if steps != moved[0]:
            moved = (steps, time.monotonic())
        left = jobs_of(operation).exclude(status="completed")
        assert time.monotonic() < moved[1] + STILL_SECONDS, (
            "nothing moves",
            list(left.values("name", "status", "attempts", "lease_until", "due_at", "not_before")),
        )
        return not operation.is_active

    wait_until(has_ended, "the operation ends", deadline_seconds=LONGEST_SECONDS)
