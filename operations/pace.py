"""How fast a stage goes and how long it will take, leaving out the time it waited."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from operations.models import Operation


class Pace(NamedTuple):
    """`per_second` and `seconds_left` are None while there is nothing honest to say."""

    per_second: float | None
    seconds_left: float | None


def waited_up_to(operation: Operation, now: dt.datetime) -> float:
    """How long it has waited in all, in seconds, with the wait that hasn't ended yet: without
    it the time left would grow while nothing moves."""
    waited: float = operation.waited_seconds
    if operation.waiting_since:
        waited += max((now - operation.waiting_since).total_seconds(), 0.0)
    return waited


def pace(stage: dict[str, Any], *, now: dt.datetime, waited_seconds: float) -> Pace:
    """Of one entry of `Operation.progress`. `waited_seconds`: the operation's, up to now."""
    done, total = stage.get("done", 0), stage.get("total")
    if not stage.get("started_at") or not done:
        return Pace(None, None)
    began = dt.datetime.fromisoformat(stage["started_at"])
    waited = waited_seconds - stage.get("waited_before", 0.0)
    worked = (now - began).total_seconds() - waited
    if worked <= 0:
        return Pace(None, None)
    per_second = done / worked
    if total is None or done > total:
        return Pace(per_second, None)
    return Pace(per_second, (total - done) / per_second)
