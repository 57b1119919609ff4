"""A step's own latency against its moving average.

What a step takes per row is the one signal that needs nobody's permission: when a step
suddenly takes a multiple of what steps of this job took, something else is at work. The
job then holds still for a moment, longer each time, and one step is let through to see.

Owns the average (written with the step, in its transaction, so it goes with the job from
worker to worker) and the verdict on it. Doesn't own the size of a step (step_size).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from django.utils import timezone

from operations.gates.verdict import Wait
from operations.models import Job

# Steps before there is an average to speak of.
WARM_UP_STEPS = 5
# How much one step counts in the average.
WEIGHT = 0.2
# Below so many times the time a step aims at, nobody is harmed however unusual it is.
FLOOR_TARGETS = 2
FIRST_HOLD_SECONDS = 5.0
LONGEST_HOLD_SECONDS = 60.0


@dataclass(frozen=True)
class Latency:
    """`slowdown`: the last step's time per row over the average before it. `slow_steps`: how
    many in a row were too slow. `hold_until`: no step before."""

    steps: int = 0
    ms_per_row: float = 0.0
    slowdown: float = 0.0
    slow_steps: int = 0
    hold_until: dt.datetime | None = None

    @classmethod
    def of(cls, job: Job) -> Latency:
        stored: dict[str, Any] = dict(job.latency)
        if stored.get("hold_until"):
            stored["hold_until"] = dt.datetime.fromisoformat(stored["hold_until"])
        return cls(**stored)

    def as_json(self) -> dict[str, Any]:
        until = self.hold_until.isoformat() if self.hold_until else None
        return {**asdict(self), "hold_until": until}


def observe(
    before: Latency,
    *,
    size: int,
    rows: int,
    elapsed_ms: float,
    max_slowdown: float,
    floor_ms: float,
    now: dt.datetime,
) -> Latency:
    """The latency after a step of `rows` rows. Pure. `max_slowdown` 0: average, never hold.

    A step that was cut short (`rows` below `size`) is mostly overhead and says nothing. In
    the average a step counts as at most `max_slowdown` times it: one that hangs doesn't
    spoil it, and yet a pace that stays slow becomes the usual one after a number of holds
    that grows with the logarithm of the slowdown.
    """
    if rows < size or rows <= 0:
        return before
    ms_per_row = elapsed_ms / rows
    steps = before.steps + 1
    if steps <= WARM_UP_STEPS or before.ms_per_row <= 0:
        average = before.ms_per_row + (ms_per_row - before.ms_per_row) / steps
        return Latency(steps=steps, ms_per_row=average)
    slowdown = ms_per_row / before.ms_per_row
    counted = min(slowdown, max_slowdown) if max_slowdown else slowdown
    average = before.ms_per_row * (1 + WEIGHT * (counted - 1))
    if not max_slowdown or slowdown <= max_slowdown or elapsed_ms <= floor_ms:
        return Latency(steps=steps, ms_per_row=average, slowdown=slowdown)
    slow_steps = before.slow_steps + 1
    hold = min(FIRST_HOLD_SECONDS * 2 ** min(slow_steps - 1, 10), LONGEST_HOLD_SECONDS)
    return Latency(
        steps=steps,
        ms_per_row=average,
        slowdown=slowdown,
        slow_steps=slow_steps,
        hold_until=now + dt.timedelta(seconds=hold),
    )


def observed(job: Job, *, size: int, rows: int, elapsed_ms: float) -> dict[str, Any]:
    """What `job.latency` is after this step, by the settings."""
    return observe(
        Latency.of(job),
        size=size,
        rows=rows,
        elapsed_ms=elapsed_ms,
        max_slowdown=settings.LOAD_MAX_SLOWDOWN,
        floor_ms=FLOOR_TARGETS * settings.OPERATION_STEP_TARGET_MS,
        now=timezone.now(),
    ).as_json()


def step_latency(job: Job) -> Wait | None:
    """The gate. It looks at the clock, not at who asks: it opens by itself, in any process."""
    latency = Latency.of(job)
    if not settings.LOAD_MAX_SLOWDOWN or latency.hold_until is None:
        return None
    seconds = (latency.hold_until - timezone.now()).total_seconds()
    if seconds <= 0:
        return None
    return Wait(
        min(seconds, LONGEST_HOLD_SECONDS),
        f"The last step took {latency.slowdown:.1f} × its usual time "
        f"(> {settings.LOAD_MAX_SLOWDOWN:g} ×): the database is slow.",
    )
