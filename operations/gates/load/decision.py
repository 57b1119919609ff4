"""From readings to a verdict: a pure function."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from operations.gates.load.reading import Reading
from operations.gates.verdict import Wait

WAIT_SECONDS = 60
PROCEED, WAIT = "proceed", "wait"
# An error may be of any length; a reason is stored and shown in one line.
ERROR_WIDTH = 160


def decide(readings: Iterable[Reading], *, when_unreadable: str) -> Wait | None:
    """Any signal over its limit: wait, for the first of them. Else, if one can't be read,
    what `when_unreadable` (`proceed` or `wait`) says. Not configured, or nothing to read:
    proceed."""
    readings = list(readings)
    for reading in readings:
        if reading.is_over:
            return Wait(WAIT_SECONDS, f"{reading.signal} {comparison(reading)}.")
    for reading in readings:
        if reading.is_unreadable and when_unreadable == WAIT:
            return Wait(WAIT_SECONDS, unreadable(reading))
    return None


def comparison(reading: Reading) -> str:
    """`86% > 80%`, with as many digits as it takes to see that it is over."""
    assert reading.value is not None  # noqa: S101 - is_over
    assert reading.limit is not None  # noqa: S101
    digits = 0
    while digits < 6 and round(reading.value, digits) <= reading.limit:
        digits += 1
    return f"{reading.value:.{digits}f}{reading.unit} > {reading.limit:g}{reading.unit}"


def unreadable(reading: Reading) -> str:
    error = textwrap.shorten(reading.error, ERROR_WIDTH, placeholder=" …").rstrip(".")
    return f"{reading.signal} can't be read: {error}."
