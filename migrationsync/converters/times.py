"""Dates, and clocks of a named place.

A legacy time without a zone is read as its place's clock showed it. Twice a year that clock
says what never was, or says it twice. Both are read with the smaller of the two offsets, as
PostgreSQL's AT TIME ZONE does: 2:30 in the hour that was left out is half an hour after it
began; 1:30 in the hour that came twice is its second coming, when summer time was over.
"""

from __future__ import annotations

import datetime as dt
import functools
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db import models

from migrationsync.columns import Family, SourceColumn
from migrationsync.converters.base import ConversionError, Converter, failing, literal
from migrationsync.converters.text import BLANKS, held

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - of a clock without a zone
_EPOCH_UTC = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_FORMS = frozenset({Family.DATE, Family.DATETIME, Family.TEXT})


def _is_nothing(text: str) -> bool:
    """A blank, or MySQL's zero date with or without its zero time."""
    return not text or (text.startswith("0000-00-00") and not text.strip("0-:. T"))


def _parsed(text: str, form: str) -> dt.datetime:
    if form:
        return dt.datetime.strptime(text, form)  # noqa: DTZ007 - the zone is added by the caller
    return dt.datetime.fromisoformat(text)


@dataclass(frozen=True)
class Date(Converter):
    """A day. Texts are ISO 8601 (2026-03-29), or of `form` as strptime has it ("%d.%m.%Y").

    MySQL's zero date is null; one that is zero in part is refused. Of a time, only midnight
    is a day: anything else would lose what it says.
    """

    form: str = ""

    reads = _FORMS
    makes = Family.DATE
    fits = (models.DateField,)

    def convert(self, value: Any) -> dt.date | None:
        if isinstance(value, str):
            text = value.strip(BLANKS)
            if _is_nothing(text):
                return None
            try:
                value = _parsed(text, self.form)
            except ValueError as error:
                raise ConversionError(text, "is no date") from error
        if isinstance(value, dt.datetime):
            if value.time() != dt.time():
                raise ConversionError(value, "is a time within a day, not a day")
            return value.date()
        if not isinstance(value, dt.date):
            raise ConversionError(value, "is no date")
        return value

    def sql(self, expression: str, column: SourceColumn) -> str | None:
        if column.family is not Family.DATE:
            return None
        return _within_python(expression, "date")

    def inverse(self, value: Any, column: SourceColumn) -> Any:
        match column.family:
            case Family.TEXT:
                text = value.strftime(self.form) if self.form else value.isoformat()
                return held(text, column)
            case Family.DATETIME:
                return dt.datetime.combine(value, dt.time())
        return value


@dataclass(frozen=True)
class DateTime(Converter):
    """A moment. `zone` is the place whose clock the legacy system wrote down.

    It counts for times without a zone only. Texts are ISO 8601, or of `form` as strptime has
    it. MySQL's zero date is null; one that is zero in part is refused.

    Parts of a second that the source has no room for can't be written back, unless they are
    left out with `rounded=True` (down: never into the future).
    """

    zone: str = "UTC"
    form: str = ""
    rounded: bool = False

    reads = _FORMS | {Family.INSTANT}
    makes = Family.INSTANT
    fits = (models.DateTimeField,)

    @cached_property
    def _zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.zone)

    @cached_property
    def _offset_of_day(self) -> Callable[[dt.date], dt.timedelta | None]:
        """A day's offset, where it had one from its beginning to its end; else None."""
        offset = self._zone.utcoffset

        @functools.lru_cache(maxsize=10_000)
        def of_day(day: dt.date) -> dt.timedelta | None:
            ends = (
                dt.datetime.combine(day, clock.replace(fold=fold))
                for clock in (dt.time.min, dt.time.max)
                for fold in (0, 1)
            )
            first, *others = map(offset, ends)
            return first if all(each == first for each in others) else None

        return of_day

    def convert(self, value: Any) -> dt.datetime | None:
        if isinstance(value, str):
            text = value.strip(BLANKS)
            if _is_nothing(text):
                return None
            try:
                value = _parsed(text, self.form)
            except ValueError as error:
                raise ConversionError(text, "is no time") from error
        elif not isinstance(value, dt.datetime):
            if not isinstance(value, dt.date):
                raise ConversionError(value, "is no time")
            value = dt.datetime.combine(value, dt.time())
        try:
            if value.tzinfo is not None:
                return value.astimezone(dt.UTC)
            whole_day = self._offset_of_day(value.date())
            if whole_day is not None:
                # Without replace(), which takes ten times as long.
                return _EPOCH_UTC + (value - _EPOCH - whole_day)
            local = value.replace(tzinfo=self._zone, fold=0)
            # A zone always knows its offset.
            offset = min(local.utcoffset(), local.replace(fold=1).utcoffset())
            return (value - offset).replace(tzinfo=dt.UTC, fold=0)
        except OverflowError as error:
            raise ConversionError(value, "is out of the range of times") from error

    def sql(self, expression: str, column: SourceColumn) -> str | None:
        if column.family is Family.INSTANT:
            return _within_python(expression, "timestamptz")
        if column.family is Family.DATETIME:
            moment = f"({expression}) AT TIME ZONE {literal(self.zone)}"
            return _within_python(moment, "timestamptz")
        return None

    def back(self, value: Any, column: SourceColumn) -> Any:
        kept = self._within(value, column)
        if kept != value and not self.rounded:
            raise ConversionError(
                value,
                "has parts of a second that the source has no room for "
                "(DateTime(…, rounded=True) leaves them out)",
            )
        return super().back(kept, column)

    def inverse(self, value: Any, column: SourceColumn) -> Any:
        if column.family is Family.INSTANT:
            return value.astimezone(dt.UTC)
        try:
            local = value.astimezone(self._zone)
        except OverflowError as error:
            raise ConversionError(value, "is out of the range of times") from error
        clock = local.replace(tzinfo=None, fold=0)
        if local.fold == 0 and local.utcoffset() != local.replace(fold=1).utcoffset():
            raise ConversionError(
                value,
                f"can't be written back: the clock of {self.zone} showed {clock} twice, and the "
                "second time is what it would be read as",
            )
        match column.family:
            case Family.TEXT:
                text = local.strftime(self.form) if self.form else clock.isoformat(sep=" ")
                return held(text, column)
            case Family.DATE:
                return clock.date()
        return clock

    def _within(self, value: dt.datetime, column: SourceColumn) -> dt.datetime:
        """The moment with as many parts of a second as `column` holds."""
        places = column.places
        if column.family is Family.TEXT:
            places = 0 if self.form and "%f" not in self.form else None
        if places is None or places >= 6:
            return value
        unit = 10 ** (6 - places)
        return value.replace(microsecond=value.microsecond // unit * unit)

    def misdeclared(self) -> str:
        try:
            zoneinfo.ZoneInfo(self.zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            return f"there is no time zone “{self.zone}”; it is a name such as “Europe/Berlin”"
        return ""


def _within_python(expression: str, cast: str) -> str:
    """PostgreSQL has years that Python hasn't, and infinity."""
    refused = failing(expression, cast)
    span = (
        "'0001-01-01' AND '9999-12-31'"
        if cast == "date"
        else "'0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00'"
    )
    return f"CASE WHEN {expression} NOT BETWEEN {span} THEN {refused} ELSE {expression} END"
