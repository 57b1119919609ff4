"""What a page says of an operation: one percentage, a row per stage, words for durations.

Owns the arithmetic and the wording that the server renders. The browser goes on with the
same words (`words.js`; a test compares the two) and the same arithmetic (`progress-feed.js`),
so a change here is a change there. Doesn't own markup (templates), nor what the state is
(snapshots).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.utils import timezone

from operations.models import Event, Operation
from operations.pace import pace
from operations.snapshots import stage_snapshot
from operations.stages import Rows, Stage, label

# Until an operation is completed something is left to do, whatever the rows say.
ALMOST = 99


class StageRow(NamedTuple):
    """One line of the table of stages. `left`: "2 min left" or "took 12 s"; `skipped`: what
    was expected and is not there, once the stage has ended. `began_percent` and
    `took_percent` place the stage in the operation's time so far."""

    name: str
    label: str
    started_at: str | None
    ended_at: str | None
    done: int
    total: int | None
    skipped: int | None
    unit: str
    per_second: int | None
    left: str
    began_percent: float
    took_percent: float

    @property
    def has_begun(self) -> bool:
        return bool(self.started_at)

    @property
    def has_ended(self) -> bool:
        return bool(self.ended_at)


class EventRow(NamedTuple):
    """One line of the list of events. `short_name`: without its kind, as filters know it."""

    sequence: int
    short_name: str
    created_at: dt.datetime
    name: str
    stage: str
    message: str


def percent(operation: Operation, stages: Sequence[Stage]) -> int | None:
    """Rows done over rows to do (or the stages' weights), 0 to 100. None while what there is
    to do isn't known.

    Never falls as the operation goes on: nothing is said before every total is known.
    """
    if not operation.is_active and not operation.has_status("FAILED", "CANCELLED"):
        return 100  # completed, or waiting for its next run
    if any(stage.weight for stage in stages):
        return min(_weighted(operation, stages), ALMOST)
    to_do = done = 0
    for stage in stages:
        if stage.rows is Rows.OWN:
            entry = operation.progress.get(stage.name, {})
            total = _expected(entry)
            if total is None:
                return None
            to_do += total
            done += min(entry["done"], total)
    again = [stage.name for stage in stages if stage.rows is Rows.AGAIN]
    for name in again:
        done += min(operation.progress.get(name, {}).get("done", 0), to_do)
    to_do *= 1 + len(again)
    return min(done * 100 // to_do, ALMOST) if to_do else None


def _weighted(operation: Operation, stages: Sequence[Stage]) -> int:
    reached = 0.0
    for stage in stages:
        entry = operation.progress.get(stage.name, {})
        total = _expected(entry)
        if entry.get("ended_at"):
            reached += stage.weight
        elif total:
            reached += stage.weight * min(entry["done"], total) / total
    return int(reached * 100 / sum(stage.weight for stage in stages))


def stage_rows(operation: Operation, stages: Sequence[Stage]) -> list[StageRow]:
    """A row for each stage, in order, whether it has begun or not."""
    rows = []
    now = timezone.now()
    begin = operation.started_at or now
    lifetime = max(((operation.ended_at or now) - begin).total_seconds(), 0.001)
    for stage in stages:
        state = stage_snapshot(operation, stage.name)
        began_percent = took_percent = 0.0
        if state["started_at"]:
            began = dt.datetime.fromisoformat(state["started_at"])
            ended = dt.datetime.fromisoformat(state["ended_at"]) if state["ended_at"] else None
            until = ended or operation.ended_at or now
            began_percent = _clamped((began - begin).total_seconds() / lifetime * 100)
            took_percent = _clamped((until - began).total_seconds() / lifetime * 100)
        per_second, left = state["rows_per_second"], ""
        if state["ended_at"]:
            per_second = _average(operation, stage.name, stages)
            left = f"took {duration(_seconds_between(state['started_at'], state['ended_at']))}"
        elif state["seconds_left"] is not None:
            left = f"{duration(state['seconds_left'])} left"
        rows.append(
            StageRow(
                name=stage.name,
                label=stage.label,
                started_at=state["started_at"],
                ended_at=state["ended_at"],
                done=state["done"],
                total=state["total"],
                skipped=max(state["total"] - state["done"], 0)
                if state["ended_at"] and state["total"] is not None
                else None,
                unit=stage.unit,
                per_second=per_second,
                left=left,
                began_percent=round(began_percent, 2),
                took_percent=round(took_percent, 2),
            )
        )
    return rows


def event_rows(events: Iterable[Event], stages: Iterable[Stage]) -> list[EventRow]:
    labels = {stage.name: stage.label for stage in stages}
    return [
        EventRow(
            sequence=event.sequence,
            short_name=short_name(event),
            created_at=event.created_at,
            name=label(short_name(event)),
            stage=labels.get(event.stage, ""),
            message=_message(event),
        )
        for event in events
    ]


def current_stage(operation: Operation, stages: Iterable[Stage]) -> Stage | None:
    """The one that runs: begun and not ended."""
    for stage in stages:
        entry = operation.progress.get(stage.name)
        if entry and not entry.get("ended_at"):
            return stage
    return None


def short_name(event: Event) -> str:
    return event.name.removeprefix(f"{event.kind}.")


def count(number: int, names: Any) -> str:
    """“1 duplication”, “3 duplications”. `names`: a model's `_meta`."""
    name = names.verbose_name if number == 1 else names.verbose_name_plural
    return f"{number:,} {name}"


def duration(seconds: float) -> str:
    """The two largest units: “3 min 20 s”, “2 h 5 min”."""
    if seconds < 1:
        return "less than 1 s"
    whole = int(seconds)
    for size, unit, below, below_unit in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit}" + (f" {rest} {below_unit}" if rest else "")
    return f"{whole} s"


def ago(moment: dt.datetime) -> str:
    """The largest unit alone: “3 min ago”."""
    seconds = (timezone.now() - moment).total_seconds()
    if seconds < 10:
        return "just now"
    number, unit = duration(seconds).split(" ")[:2]
    return f"{number} {unit} ago"


def _expected(entry: dict[str, Any]) -> int | None:
    total: int | None = entry.get("total")
    if total is None and entry.get("ended_at"):
        return int(entry["done"])
    return total


def _average(operation: Operation, name: str, stages: Sequence[Stage]) -> int | None:
    """Rows per second over a stage that has ended, without what the operation waited in it."""
    entry = operation.progress[name]
    waited = [
        later["waited_before"]
        for stage in stages
        if (later := operation.progress.get(stage.name, {})).get("waited_before") is not None
        and later["started_at"] >= entry["ended_at"]
    ]
    per_second, _ = pace(
        entry,
        now=dt.datetime.fromisoformat(entry["ended_at"]),
        waited_seconds=min(waited, default=operation.waited_seconds),
    )
    return round(per_second) if per_second else None


def _clamped(percentage: float) -> float:
    return min(max(percentage, 0.0), 100.0)


def _seconds_between(start: str, end: str) -> float:
    began, ended = dt.datetime.fromisoformat(start), dt.datetime.fromisoformat(end)
    return (ended - began).total_seconds()


def _message(event: Event) -> str:
    """What an event's payload says, in one line."""
    payload: dict[str, Any] = event.payload
    if event.name == f"{event.kind}.progress":
        message = f"{payload.get('done', 0):,}"
        if payload.get("total") is not None:
            message += f" of {payload['total']:,}"
        if payload.get("amount"):
            message += f" (+{payload['amount']:,} in {payload.get('elapsed_ms', 0):,} ms)"
        return message
    message = str(payload.get("message", ""))
    message = message[:1].upper() + message[1:]
    if payload.get("by"):
        return f"{message}{', ' if message else ''}by {payload['by']}"
    if payload.get("amount") is not None:
        rows = "row" if payload["amount"] == 1 else "rows"
        message += f": {payload['amount']:,} {rows}"
    return message
