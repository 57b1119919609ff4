"""An operation's progress in a terminal: bars where it is one, plain lines where it isn't.

Owns how snapshots and events look, in the form that watchers get them. Doesn't own where
they come from: the database (`operations.following`) or a websocket.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from operations.watching import duration

Stage = dict[str, Any]
LINE_SECONDS = 2.0


class ProgressView:
    """Shows one operation from its snapshot to its end; a context manager.

        with ProgressView(sys.stdout) as view:
            view.show_snapshot(…)   # once
            view.show_event(…)      # every event after it, in order

    `sequence` is the last event that is shown, `has_ended` whether there will be more.
    `units` says what a stage counts, by its name, where that isn't rows.
    """

    def __init__(self, stream: TextIO, *, units: Mapping[str, str] | None = None) -> None:
        self._units = units or {}
        self._console = Console(file=stream, highlight=False, markup=False)
        self._stages: _Stages = (
            _Bars(self._console) if self._console.is_terminal else _Lines(self.say)
        )
        self.sequence = 0
        self.has_ended = False

    def __enter__(self) -> Self:
        self._stages.open()
        return self

    def __exit__(self, *error: object) -> None:
        self._stages.close()

    def say(self, line: str) -> None:
        """A line of its own, above the bars."""
        self._console.print(line, soft_wrap=True)

    def show_snapshot(self, snapshot: dict[str, Any]) -> None:
        self.sequence = snapshot["sequence"]
        self.has_ended = not snapshot["is_active"]
        for stage in snapshot["stages"]:
            self._show_stage(stage)
        if snapshot["waiting"]:
            self.say(_waiting(snapshot["waiting"]["reason"], snapshot["waiting"]["until"]))
        elif snapshot["display_status"] in ("paused", "pausing"):
            self.say(f"It is {snapshot['display_status']}.")

    def show_event(self, event: dict[str, Any]) -> None:
        self.sequence = event["sequence"]
        name, payload = event["name"].partition(".")[2], event["payload"]
        match name:
            case "progress":
                self._show_stage(payload)
            case "waiting":
                self.say(_waiting(payload["message"], payload["until"]))
            case "exception":
                self.say(f"A step of {event['stage']} is tried again: {payload['message']}")
            case "pause_requested" | "paused" | "resumed" | "retried" | "cancel_requested":
                by = f" by {payload['by']}" if payload.get("by") else ""
                self.say(f"{name.replace('_', ' ').capitalize()}{by}.")
            case "completed" | "failed" | "cancelled":
                self.has_ended = True

    def _show_stage(self, stage: Stage) -> None:
        self._stages.show({**stage, "unit": self._units.get(stage["stage"], "rows")})


class _Stages(Protocol):
    def open(self) -> None: ...
    def close(self) -> None: ...
    def show(self, stage: Stage) -> None: ...


class _Bars:
    """One bar a stage, all from the start, so that the whole way is seen."""

    def __init__(self, console: Console) -> None:
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}", justify="right"),
            TextColumn("{task.fields[pace]}", justify="right"),
            console=console,
        )

    def open(self) -> None:
        self._progress.start()

    def close(self) -> None:
        self._progress.stop()

    def show(self, stage: Stage) -> None:
        name, done, total = stage["stage"], stage["done"], stage["total"]
        has_begun = stage["started_at"] is not None
        if has_begun and total == 0:
            done = total = 1  # nothing to do is done; a bar of length 0 stays empty
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, amount="", pace="")
        self._progress.update(
            self._tasks[name],
            completed=done,
            # Without a total the bar pulses, which is right only for what has begun.
            total=total if has_begun else 1,
            amount=_amount(stage) if has_begun else "",
            pace=", ".join(_pace(stage)),
        )


class _Lines:
    """A line every few seconds, and one at the end of each stage."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._unsaid: Stage | None = None
        self._said: dict[str, int] = {}
        self._next_at = time.monotonic() + LINE_SECONDS

    def open(self) -> None:
        pass

    def close(self) -> None:
        self._say_last()

    def show(self, stage: Stage) -> None:
        if stage["started_at"] is None or self._said.get(stage["stage"]) == stage["done"]:
            return
        if self._unsaid and self._unsaid["stage"] != stage["stage"]:
            self._say_last()
        self._unsaid = stage
        if stage["done"] == stage["total"] or time.monotonic() >= self._next_at:
            self._say_last()

    def _say_last(self) -> None:
        if stage := self._unsaid:
            parts = [_amount(stage), _percent(stage), *_pace(stage)]
            self._say(f"{stage['stage']}: {', '.join(part for part in parts if part)}")
            self._said[stage["stage"]] = stage["done"]
            self._unsaid = None
            self._next_at = time.monotonic() + LINE_SECONDS


def _amount(stage: Stage) -> str:
    done, total = stage["done"], stage["total"]
    if total == 0:
        return "nothing to do"
    return f"{done:,}" if total is None else f"{done:,} of {total:,}"


def _percent(stage: Stage) -> str:
    done, total = stage["done"], stage["total"]
    return f"{100 * done // total} %" if total else ""


def _pace(stage: Stage) -> list[str]:
    """How many a second and the time left, as far as there is something honest to say."""
    parts = []
    # A single thing has no rate.
    if stage["rows_per_second"] and stage["total"] != 1:
        parts.append(f"{stage['rows_per_second']:,} {stage['unit']}/s")
    if (left := stage["seconds_left"]) and stage["done"] != stage["total"]:
        parts.append(f"{duration(left)} left")
    return parts


def _waiting(reason: str, until: str | None) -> str:
    """`until`: the next look, where there is one."""
    looks = f" (looking again at {until[11:19]} UTC)" if until else ""
    return f"Waiting{looks}: {reason}"
