"""Tasks that the clusters under test run. What they did can be read from the events."""

from __future__ import annotations

import time

from operations.models import Event

KIND = "worker-test"


def record(name: str, step: str = "ran") -> int:
    """Leave a row; returns which one it is for this name."""
    sequence = count(name) + 1
    Event.objects.create(kind=KIND, operation_id=name, sequence=sequence, name=step)
    return sequence


def count(name: str, *steps: str) -> int:
    """How many rows there are for this name, of `steps` only if any are given."""
    events = Event.objects.filter(kind=KIND, operation_id=name)
    return events.filter(name__in=steps).count() if steps else events.count()


def hang_once(name: str) -> None:
    """The first delivery never ends, the second one does at once."""
    if record(name, "started") == 1:
        time.sleep(3600)
    record(name, "ended")


def work(name: str, seconds: float) -> None:
    """One piece of work in which nothing beats."""
    record(name, "started")
    time.sleep(seconds)
    record(name, "ended")
