"""Times of a day, and lengths of time."""

from __future__ import annotations

import datetime as dt
import decimal
import re
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.utils.dateparse import parse_duration

from migrationsync.columns import Family, SourceColumn
from migrationsync.converters.base import ConversionError, Converter, failing
from migrationsync.converters.numbers import MOST_DIGITS, exact, with_places
from migrationsync.converters.text import BLANKS, held

_MIDNIGHT = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - of a clock without a zone
_DAY = dt.timedelta(days=1)
_MICROSECOND = dt.timedelta(microseconds=1)
_NUMBERS = frozenset({Family.INTEGER, Family.DECIMAL, Family.FLOAT})
# Python's own reading leaves out what a microsecond has no room for.
_TIME = re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,6})?)?", re.ASCII)
# Hours are always there: of “1:30” nobody can say what it means.
_CLOCK = re.compile(
    r"(?:(?P<days>[-+]?\d+) (?:days?,? )?)?"
    r"(?P<sign>[-+]?)(?P<hours>\d+):(?P<minutes>[0-5]\d):(?P<seconds>[0-5]\d(?:\.\d{1,6})?)",
    re.ASCII,
)
# Before the point: no length of time has as many, in whatever unit.
_MOST_DIGITS = 20
UNITS = {
    "microseconds": 1,
    "milliseconds": 1_000,
    "seconds": 1_000_000,
    "minutes": 60_000_000,
    "hours": 3_600_000_000,
    "days": 86_400_000_000,
}


def _refuse_parts(value: Any, microseconds: int, column: SourceColumn) -> None:
    """Raises ConversionError for parts of a second that `column` has no room for."""
    places = 6 if column.family is Family.TEXT or column.places is None else column.places
    if microseconds % 10 ** max(6 - places, 0):
        raise ConversionError(value, "has parts of a second that the source has no room for")


@dataclass(frozen=True)
class Time(Converter):
    """A time of day. Texts are ISO 8601 (14:30, 14:30:05.5), or of `form` as strptime has it."""

    form: str = ""

    reads = frozenset({Family.TIME, Family.TEXT})
    makes = Family.TIME
    fits = (models.TimeField,)

    def convert(self, value: Any) -> dt.time | None:
        if isinstance(value, str):
            text = value.strip(BLANKS)
            if not text:
                return None
            try:
                value = self._parsed(text)
            except ValueError as error:
                raise ConversionError(text, "is no time of day") from error
        elif isinstance(value, dt.timedelta) and dt.timedelta() <= value < _DAY:
            # MySQL's TIME.
            value = (_MIDNIGHT + value).time()
        if not isinstance(value, dt.time):
            raise ConversionError(value, "is no time of day")
        if value.tzinfo is not None:
            raise ConversionError(value, "is of a zone, which a time of day has no room for")
        return value

    def _parsed(self, text: str) -> dt.time:
        if self.form:
            return dt.datetime.strptime(text, self.form).time()  # noqa: DTZ007 - a clock's
        if not _TIME.fullmatch(text):
            raise ValueError(text)
        return dt.time.fromisoformat(text)

    def sql(self, expression: str, column: SourceColumn) -> str | None:
        if column.family is not Family.TIME:
            return None
        # PostgreSQL has the end of a day, too.
        refused = failing(expression, "time")
        return f"CASE WHEN {expression} = '24:00:00' THEN {refused} ELSE {expression} END"

    def inverse(self, value: Any, column: SourceColumn) -> Any:
        _refuse_parts(value, value.microsecond, column)
        text = value.isoformat()
        if column.family is not Family.TEXT:
            return text
        return held(value.strftime(self.form) if self.form else text, column)


@dataclass(frozen=True)
class Duration(Converter):
    """A length of time. Texts have hours, minutes and seconds (1:30:00, 2 days 01:30:00), or are
    ISO 8601 (P2DT1H30M).

    `unit` is what numbers count: Duration(unit="minutes"). Without it none are read.
    """

    unit: str = ""

    reads = frozenset({Family.DURATION, Family.TIME, Family.TEXT})
    makes = Family.DURATION
    fits = (models.DurationField,)

    def __post_init__(self) -> None:
        if self.unit:
            object.__setattr__(self, "reads", type(self).reads | _NUMBERS)

    def convert(self, value: Any) -> dt.timedelta | None:
        if isinstance(value, dt.timedelta):
            return value
        if isinstance(value, dt.time):
            return dt.datetime.combine(_MIDNIGHT, value.replace(tzinfo=None)) - _MIDNIGHT
        if isinstance(value, str):
            text = value.strip(BLANKS)
            if not text:
                return None
            if not self.unit or ":" in text or "P" in text:
                return _read(text)
        if not self.unit:
            raise ConversionError(value, "is no length of time (Duration(unit=“…”) reads numbers)")
        number = exact(value)
        return None if number is None else self._counted(number, value)

    def _counted(self, number: decimal.Decimal, value: Any) -> dt.timedelta:
        if number.adjusted() > _MOST_DIGITS:
            raise ConversionError(value, "is longer than a length of time can be")
        with decimal.localcontext(prec=MOST_DIGITS):
            microseconds = number * UNITS[self.unit]
            whole = microseconds.to_integral_value()
        # A float's last places are noise.
        if whole != microseconds and not isinstance(value, float):
            raise ConversionError(value, "has parts of a microsecond")
        try:
            return int(whole) * _MICROSECOND
        except OverflowError as error:
            raise ConversionError(value, "is longer than a length of time can be") from error

    def inverse(self, value: Any, column: SourceColumn) -> Any:
        microseconds = value // _MICROSECOND
        if column.family in _NUMBERS:
            return self._number(value, microseconds, column)
        _refuse_parts(value, microseconds, column)
        text = _written(microseconds)
        return held(text, column) if column.family is Family.TEXT else text

    def _number(self, value: Any, microseconds: int, column: SourceColumn) -> Any:
        with decimal.localcontext(prec=40):
            number = decimal.Decimal(microseconds) / UNITS[self.unit]
        if column.family is Family.FLOAT:
            return float(number)
        if column.family is Family.DECIMAL:
            return with_places(number, column)
        if number != number.to_integral_value():
            raise ConversionError(value, f"is no whole number of {self.unit}")
        return int(number)

    def misdeclared(self) -> str:
        return "" if self.unit in ("", *UNITS) else f"unit is one of {', '.join(UNITS)}"


def _read(text: str) -> dt.timedelta:
    try:
        if found := _CLOCK.fullmatch(text):
            clock = dt.timedelta(
                hours=int(found["hours"]),
                minutes=int(found["minutes"]),
                microseconds=int(decimal.Decimal(found["seconds"]) * 1_000_000),
            )
            clock = -clock if found["sign"] == "-" else clock
            return dt.timedelta(days=int(found["days"] or 0)) + clock
        parsed = parse_duration(text) if "P" in text else None
    except OverflowError as error:
        raise ConversionError(text, "is longer than a length of time can be") from error
    if parsed is None:
        raise ConversionError(text, "is no length of time")
    return parsed


def _written(microseconds: int) -> str:
    """As every engine reads it, and `_read`: all of it in hours."""
    seconds, rest = divmod(abs(microseconds), 1_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = f".{rest:06}" if rest else ""
    return f"{'-' if microseconds < 0 else ''}{hours:02}:{minutes:02}:{seconds:02}{parts}"
