"""The database's load: collectors write state, one pure function decides.

    postgres, cloudwatch   collectors, each reads one signal
    state                  the last reading of each and its age; no collector's error leaves it
    decision               readings -> proceed, or wait and why
    latency                a job's own steps against their moving average

What a signal that can't be read means (`proceed` or `wait`) is LOAD_WHEN_UNREADABLE, and it
is told: as the reason of the wait, or once as an event (telling).
"""

from __future__ import annotations

from typing import Any

from django.conf import settings

from operations.gates.load.decision import decide
from operations.gates.load.latency import step_latency
from operations.gates.load.reading import Reading
from operations.gates.load.state import forget_readings, readings
from operations.gates.verdict import Wait
from operations.kinds import Kind


def unreadable_signals() -> list[Reading]:
    return [reading for reading in readings() if reading.is_unreadable]


def database_load(kind: Kind[Any]) -> Wait | None:
    """The gate; the same for every kind."""
    return decide(readings(), when_unreadable=settings.LOAD_WHEN_UNREADABLE)


__all__ = [
    "Reading",
    "database_load",
    "decide",
    "forget_readings",
    "readings",
    "step_latency",
    "unreadable_signals",
]
