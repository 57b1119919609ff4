"""`manage.py load_report`: what the gates see, and what they would say."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console
from rich.table import Table

from operations.gates.load import Reading
from operations.gates.report import JobPace, KindReport, LoadReport, as_dict, load_report
from operations.gates.verdict import Wait
from operations.watching import duration

# Not 1, which is any failure, nor 2, a wrong argument: "try again later" of sysexits.h.
WOULD_WAIT = 75


class Command(BaseCommand):
    help = (
        "Prints what the gates see: each load signal with its limit, and for each kind of "
        "operation whether the next step of what runs and the next claim of another job would "
        "proceed or wait, and why. The exit code is 0 if every kind's next step would proceed "
        f"and {WOULD_WAIT} if any would wait; that all places are taken is no such wait."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print one JSON object.")

    def handle(self, *args: Any, **options: Any) -> None:
        report = load_report()
        stream = options.get("stdout") or sys.stdout
        if options["json"]:
            stream.write(json.dumps(as_dict(report)) + "\n")
        else:
            _Page(Console(file=stream, highlight=False, markup=False)).show(report)
        if report.would_wait:
            sys.exit(WOULD_WAIT)


class _Page:
    """Tables in a terminal; elsewhere a line per row, which doesn't depend on a width."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, report: LoadReport) -> None:
        self._rows(
            "Signals",
            ("Signal", "Now", "Limit", "Seen", "State"),
            [_signal(reading, report) for reading in report.readings],
        )
        self._say(f"While a signal can't be read: {settings.LOAD_WHEN_UNREADABLE}.")
        self._rows(
            "Kinds of operation",
            ("Kind", "Switch", "Exceptions", "Jobs", "Its next step", "Its next claim"),
            [_kind(kind) for kind in report.kinds],
        )
        if paces := [row for kind in report.kinds for row in _paces(kind)]:
            self._rows(
                "A step's own latency", ("Job", "Usual", "Last step", "Its next step"), paces
            )

    def _rows(self, title: str, headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        if not self._console.is_terminal:
            for first, *others in rows:
                cells = zip(headings[1:], others, strict=True)
                told = [f"{heading.lower()} {cell}" for heading, cell in cells if cell]
                self._say(f"{first}: {', '.join(told)}")
            return
        table = Table(*headings, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        self._console.print(table)

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)


def _signal(reading: Reading, report: LoadReport) -> tuple[str, ...]:
    age = reading.age_seconds(report.at)
    return (
        reading.signal,
        _amount(reading.value, reading.unit),
        _amount(reading.limit, reading.unit),
        "" if age is None else f"{duration(age)} ago",
        f"{reading.state} ({reading.why.rstrip('.')})" if reading.why else str(reading.state),
    )


def _amount(value: float | None, unit: str) -> str:
    return "" if value is None else f"{round(value, 1):g}{unit}"


def _kind(kind: KindReport) -> tuple[str, ...]:
    return (
        kind.name,
        "on" if kind.is_on else "off",
        f"{kind.exceptions} of {settings.OPERATION_THROTTLE_EXCEPTIONS}"
        f" in {settings.OPERATION_THROTTLE_SECONDS} s",
        f"{kind.running} of {settings.OPERATION_MAX_CONCURRENT_JOBS}",
        _verdict(kind.wait),
        _verdict(kind.claim_wait),
    )


def _paces(kind: KindReport) -> Iterator[tuple[str, ...]]:
    for pace in kind.jobs:
        yield (
            f"{kind.name} {pace.operation_id}, {pace.name} {pace.job_id}",
            _usual(pace),
            f"{pace.latency.slowdown:.1f} ×" if pace.latency.slowdown else "",
            _verdict(pace.wait),
        )


def _usual(pace: JobPace) -> str:
    return f"{pace.latency.ms_per_row:.3g} ms a row" if pace.latency.steps else "no step yet"


def _verdict(wait: Wait | None) -> str:
    return f"would wait {duration(wait.seconds)}: {wait.reason}" if wait else "would proceed"
