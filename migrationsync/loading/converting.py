"""Rows through the converters, column by column, as the lines that COPY reads.

The same answer as `Entity.convert` gives row by row, several times faster: a column's loop has
nothing in it but its converter, a value that comes often is converted once, and what COPY
would misread is looked for in all of a column's texts at once. Which rows are refused, and
why, is still `Entity.convert`'s word.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models

from migrationsync import arrays
from migrationsync.columns import Family
from migrationsync.converters import Json
from migrationsync.entities import Check, Entity, RowError
from migrationsync.entities.declarations import Value
from migrationsync.loading.refusals import Refusal

NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
# Of these, equal values are the same value. 1 == True, and 1.0 == 1.00 of decimals: so a column
# has to be of one of them alone.
_COMPARABLE = ({str}, {int}, {bool}, {dt.date})
_WRITTEN_ALIKE = frozenset(
    {Family.INTEGER, Family.DECIMAL, Family.FLOAT, Family.DATE, Family.UUID, Family.INSTANT}
)


@dataclass(frozen=True)
class Converted:
    """`lines` are (key, checksum, a value for each of the entity's columns)."""

    lines: list[str]
    refusals: list[Refusal]


def convert_rows(entity: Entity, rows: Sequence[Sequence[Any]]) -> Converted:
    """Rows as they are read by `entity.reads`, the row's checksum behind.

    Checks that are declared in SQL too aren't asked here: they are in the database.
    """
    if not rows:
        return Converted([], [])
    columns = list(zip(*rows, strict=True))
    bad: set[int] = set()
    results = [
        _converted(value, column, bad)
        for value, column in zip(entity.values, columns[1:], strict=False)
    ]
    checks = [check for check in entity.checks if check.sql is None]
    if checks:
        _check(entity, checks, results, bad)
    texts = [
        _texts(entity.target._meta.get_field(value.field), value, column, found)
        for value, column, found in zip(entity.values, columns[1:], results, strict=False)
    ]
    lines: Iterable[str] = map(
        "\t".join, zip(map(str, columns[0]), columns[len(entity.reads)], *texts, strict=True)
    )
    if bad:
        lines = compress(lines, [number not in bad for number in range(len(rows))])
    return Converted(
        [f"{line}\n" for line in lines], [_refusal(entity, rows[number]) for number in sorted(bad)]
    )


def _converted(value: Value, column: Sequence[Any], bad: set[int]) -> list[Any]:
    """The column's values; puts the numbers of those that are refused into `bad`."""
    try:
        found = _all(value.converter.convert, column)
    except Exception:  # noqa: BLE001 - whatever a converter raises, it is a row's; `_one` finds it
        found = [_one(value, each, number, bad) for number, each in enumerate(column)]
    if value.null_as is not None:
        return [value.null_as if each is None else each for each in found]
    if value.is_required:
        bad.update(number for number, each in enumerate(found) if each is None)
    return found


def _all(convert: Callable[[Any], Any], column: Sequence[Any]) -> list[Any]:
    kinds = set(map(type, column)) - {type(None)}
    if kinds in _COMPARABLE:
        distinct = set(column)
        if len(distinct) * 2 < len(column):
            known = {each: convert(each) for each in distinct if each is not None}
            return list(map(known.get, column))
    return [None if each is None else convert(each) for each in column]


def _one(value: Value, each: Any, number: int, bad: set[int]) -> Any:
    try:
        return None if each is None else value.converter.convert(each)
    except Exception:  # noqa: BLE001 - `Entity.convert` says what it was
        bad.add(number)
        return None


def _check(
    entity: Entity, checks: Sequence[Check], results: list[list[Any]], bad: set[int]
) -> None:
    names = tuple(entity.columns)
    for number, values in enumerate(zip(*results, strict=True)):
        # A row that is refused already has no value to check.
        if number not in bad:
            row = dict(zip(names, values, strict=True))
            try:
                is_good = all(check.holds(row) for check in checks)
            except Exception:  # noqa: BLE001 - `Entity.convert` says what it was
                is_good = False
            if not is_good:
                bad.add(number)


def _refusal(entity: Entity, row: Sequence[Any]) -> Refusal:
    try:
        entity.convert(row)
    except RowError as error:
        return Refusal.of(error, entity.reads, row)
    raise TypeError(f"{entity}: a converter or a check answers differently for the same row")


def _texts(field: Any, value: Value, column: Sequence[Any], values: list[Any]) -> list[str]:
    family = value.converter.makes
    if family in _WRITTEN_ALIKE:
        return [NULL if each is None else str(each) for each in values]
    if family is Family.BOOLEAN:
        return [NULL if each is None else "t" if each else "f" for each in values]
    if family is Family.BINARY:
        return [NULL if each is None else rf"\\x{bytes(each).hex()}" for each in values]
    if isinstance(field, ArrayField):
        values = [arrays.written(each) if isinstance(each, list) else each for each in values]
    if isinstance(field, models.JSONField):
        values = _documents(field, value, column, values)
    if _is_literal(values):
        return [NULL if each is None else each for each in values]
    return [NULL if each is None else str(each).translate(_ESCAPES) for each in values]


def _documents(
    field: models.JSONField, value: Value, column: Sequence[Any], values: list[Any]
) -> list[str | None]:
    """JSON as the source wrote it, where it did: Python's floats have fewer digits than JSON's
    numbers, and PostgreSQL reads the text itself where it converts."""
    converter = value.converter
    written = converter.document if isinstance(converter, Json) else lambda each: None
    return [
        None
        if made is None
        else (None if made is value.null_as else written(each))
        or json.dumps(made, cls=field.encoder)
        for each, made in zip(column, values, strict=True)
    ]


def _is_literal(values: list[Any]) -> bool:
    """Whether COPY reads these texts as they are: looked for in all of them at once."""
    try:
        together = "".join(filter(None, values))
    except TypeError:
        return False
    return not any(mark in together for mark in "\\\t\n\r")
