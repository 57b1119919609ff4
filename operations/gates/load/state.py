"""The last reading of each signal in this process, and when to take another.

Nothing that a collector raises comes out of here: it becomes a reading with an error,
which the decision and whoever watches get to see.
"""

from __future__ import annotations

import logging
import time

from django.utils import timezone

from operations.gates.load.cloudwatch import RdsCpu
from operations.gates.load.postgres import ActiveSessions, ReplicationLag
from operations.gates.load.reading import Collector, NothingToRead, Reading

logger = logging.getLogger("operations.load")

COLLECTORS: tuple[Collector, ...] = (ActiveSessions(), ReplicationLag(), RdsCpu())

_taken: dict[str, tuple[float, Reading]] = {}


def readings() -> list[Reading]:
    """One for each signal, also for those that aren't configured. At most as old as their
    collectors allow, so that asking before each step costs nothing. Never raises."""
    return [_reading(collector) for collector in COLLECTORS]


def forget_readings() -> None:
    """Make the next look a fresh one."""
    _taken.clear()


def _reading(collector: Collector) -> Reading:
    now = time.monotonic()
    taken = _taken.get(collector.signal)
    if taken is None or now - taken[0] >= collector.read_again_after_seconds:
        reading = _look(collector)
        # Said in the log once, not at each look for as long as it lasts.
        if reading.is_unreadable and (taken is None or taken[1].error != reading.error):
            logger.warning("%s can't be read: %s", reading.signal, reading.error)
        taken = _taken[collector.signal] = (now, reading)
    return taken[1]


def _look(collector: Collector) -> Reading:
    signal, unit, limit = collector.signal, collector.unit, collector.limit()
    if limit is None:
        return Reading(signal, unit, None, note=f"Set {collector.configured_by}.")
    looked_at = timezone.now()
    try:
        value, at = collector.read()
    except NothingToRead as nothing:
        return Reading(signal, unit, limit, at=looked_at, note=str(nothing))
    except Exception as error:  # noqa: BLE001 - a signal that can't be read must not fail the work
        message = str(error).strip() or type(error).__name__
        return Reading(signal, unit, limit, at=looked_at, error=message)
    return Reading(signal, unit, limit, value=value, at=at or looked_at)
