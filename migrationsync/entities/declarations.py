"""How a table is declared: where it comes from, what it becomes, and how.

In the `entities.py` of any installed app:

    from migrationsync.converters import DateTime, Phone
    from migrationsync.entities import Column, Entity, ForeignKey, register

    register(
        Entity(
            name="doctors",
            source="legacy_doctor",
            target=Doctor,
            script="doctor-migration.ts",
            columns={
                "name": Column("full_name"),
                "phone": Column("phone", Phone(country="49")),
                "joined_at": Column("joined", DateTime(zone="Europe/Berlin")),
                "office": ForeignKey("offices", "office_id"),
            },
        )
    )

Owns what a declaration says and what follows from it for one row. Doesn't own whether all of
them fit together (`checks`) or the source's real columns (`migrationsync.source`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import models

from migrationsync.columns import SourceColumn
from migrationsync.converters import ConversionError, Converter, Key, usual
from migrationsync.converters.base import raised

# Fields in which '' is what nothing looks like.
_TEXTS = (models.CharField, models.TextField, models.FileField, models.FilePathField)


class RowError(Exception):
    """A row that can't become one of the target: every reason, by the source's columns."""

    def __init__(self, key: object, errors: Sequence[ConversionError]) -> None:
        self.key = key
        self.errors = tuple(errors)
        super().__init__("; ".join(str(error) for error in errors))


@dataclass(frozen=True)
class Column:
    """A source's column and how it is read.

    Without a name it is called as the target's field; without a converter it is read as that
    field's type asks for. A null stays one where the field allows it; in a text field that may
    be blank it becomes ''; elsewhere the row is refused, unless `null_as` says what null means.
    """

    source: str = ""
    converter: Converter | None = None
    _: KW_ONLY
    null_as: Any = None


@dataclass(frozen=True)
class ForeignKey:
    """A source's column that holds the legacy key of `entity`'s row.

    It becomes the UUID that the id mapping has for it. A null is none; so is `null_as`, where
    that is how the source writes it down, such as 0: it is written back so, too. It may be the
    entity itself, and the row its own: `ForeignKey("categories", "parent_id")` in “categories”.
    """

    entity: str
    source: str
    _: KW_ONLY
    null_as: int | None = None


@dataclass(frozen=True)
class Check:
    """A rule that a converted row has to keep.

        Check("costs something", lambda row: row["price"] > 0)

    `holds` is given the row by the target's fields; foreign keys are still legacy keys. `name`
    completes "it isn't true that it …". `sql` says the same over the fields as columns, where a
    row shall not have to pass through Python for it. A row for which `holds` raises is refused.
    """

    name: str
    holds: Callable[[Mapping[str, Any]], bool]
    sql: str | None = None

    def problem(self, row: Mapping[str, Any]) -> str:
        """Why the row is refused; empty where it isn't."""
        try:
            return "" if self.holds(row) else f"is refused: it isn't true that it {self.name}"
        except Exception as error:  # noqa: BLE001 - a field that is null, most often: the row's fault
            return f"is refused: it can't be told that it {self.name}: {raised(error)}"


@dataclass(frozen=True)
class Value:
    """A column as it is read for a certain field: all that was left open is decided."""

    field: str
    source: str
    converter: Converter
    null_as: Any
    is_required: bool

    def convert(self, value: Any) -> Any:
        """Raises ConversionError, with the source's column; whatever the converter raises."""
        try:
            result = self.converter.convert(value) if value is not None else None
        except ConversionError as error:
            raise error.at(self.source) from error
        except Exception as error:
            raise self._failed(value, "convert", error) from error
        if result is None:
            result = self.null_as
            if result is None and self.is_required:
                raise ConversionError(value, "is nothing, but the target requires it", self.source)
        return result

    def back(self, value: Any, column: SourceColumn) -> Any:
        """What to write into `column`, so that `convert` makes `value` of it again; None for null.

        Where both a null and a value of the source's own are read as `value`, the latter. Raises
        ConversionError, with the source's column.
        """
        try:
            if value is None:
                return self._nothing(value, column)
            try:
                return self.converter.back(value, column)
            except ConversionError:
                if value != self.null_as:
                    raise
                return self._nothing(value, column)
        except ConversionError as error:
            raise error.at(self.source) from error
        except Exception as error:
            raise self._failed(value, "write back", error) from error

    def _failed(self, value: Any, verb: str, error: Exception) -> ConversionError:
        kind = type(self.converter).__name__
        return ConversionError(
            value, f"{kind} can't {verb}: it raised {raised(error)}", self.source
        )

    def _nothing(self, value: Any, column: SourceColumn) -> Any:
        """What the source has where there is nothing."""
        if value != self.null_as:
            raise ConversionError(value, f"can't be written back: it is read as {self.null_as}")
        return self.converter.nothing(column)

    def normal(self, value: Any) -> str | None:
        """The normal form of what `convert` answers: alike is what has the same."""
        return None if value is None else self.converter.normal(value)

    def sql(self, expression: str, column: SourceColumn) -> str | None:
        """The same in PostgreSQL's SQL, but for a required value: the target refuses its null."""
        converted = self.converter.sql(expression, column)
        if converted is None or self.null_as is None:
            return converted
        return f"coalesce({converted}, {self.converter.literal(self.null_as)})"


@dataclass(frozen=True)
class Entity:
    """A table of the legacy database and the model that its rows become.

    `key` is the source's integer key. `changed_at` is the column that tells when a row was last
    changed, `deleted` the one that marks a row as deleted (a flag or a time), where there are
    such. `script` is the migration script that this declaration stands for.
    """

    _: KW_ONLY
    name: str
    source: str
    target: type[models.Model]
    columns: Mapping[str, Column | ForeignKey]
    script: str
    key: str = "id"
    changed_at: str = ""
    deleted: str = ""
    checks: Sequence[Check] = ()
    declared_in: str = field(default="", init=False, compare=False)

    def __post_init__(self) -> None:
        # Entity() is called in an entities.py; between it and here is only what dataclass wrote.
        frame = sys._getframe(2)
        object.__setattr__(
            self, "declared_in", f"{_shown(frame.f_code.co_filename)}:{frame.f_lineno}"
        )

    def __str__(self) -> str:
        return f"Entity “{self.name}” ({self.declared_in})"

    @cached_property
    def foreign_keys(self) -> dict[str, ForeignKey]:
        """By the target's fields."""
        return {
            name: column for name, column in self.columns.items() if isinstance(column, ForeignKey)
        }

    @cached_property
    def depends_on(self) -> tuple[str, ...]:
        """The entities that have to be there first, as the foreign keys name them. A tree doesn't
        need itself first."""
        named = (column.entity for column in self.foreign_keys.values())
        return tuple(dict.fromkeys(name for name in named if name != self.name))

    @cached_property
    def own_keys(self) -> dict[str, ForeignKey]:
        """The foreign keys to the entity itself, by the target's fields: its rows are trees."""
        return {
            name: column for name, column in self.foreign_keys.items() if column.entity == self.name
        }

    @cached_property
    def values(self) -> tuple[Value, ...]:
        """What is read of a row besides its key, in the order of the declaration."""
        return tuple(self._value(name, column) for name, column in self.columns.items())

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """The source's columns as `convert` wants them: the key, then those of `values`."""
        return (self.key, *(value.source for value in self.values))

    @cached_property
    def source_columns(self) -> tuple[str, ...]:
        """Every column of the source that the declaration names, each once."""
        named = (*self.reads, self.changed_at, self.deleted)
        return tuple(dict.fromkeys(name for name in named if name))

    def convert(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """A row as it is read by `reads`, as (legacy key, a value for each of `columns`).

        A foreign key's value is still the legacy key of the other row. Raises RowError.
        """
        try:
            # map stops at the shorter one: a row may bring further columns at its end.
            converted = (row[0], *[convert(value) for convert, value in self._steps(row)])
        except ConversionError:
            raise RowError(row[0], self._errors(row)) from None
        for check in self.checks:
            if why := check.problem(dict(zip(self.columns, converted[1:], strict=True))):
                raise RowError(row[0], [ConversionError("the row", why)])
        return converted

    def not_plain(self, columns: Mapping[str, SourceColumn]) -> tuple[str, ...]:
        """The source's columns that only Python can convert, given what they really are.

        Empty: on a PostgreSQL source the whole mapping is SQL. A check without SQL counts, as
        its name.
        """
        return (
            *(v.source for v in self.values if v.sql("x", columns[v.source]) is None),
            *(check.name for check in self.checks if check.sql is None),
        )

    @staticmethod
    def is_deleted(mark: Any) -> bool:
        """Whether a value of the `deleted` column marks its row."""
        if isinstance(mark, str):
            mark = mark.strip().lower()
            return bool(mark.strip("0-: .")) and mark not in ("n", "no", "f", "false")
        return mark is not None and mark not in (0, b"\x00")

    @cached_property
    def _converters(self) -> tuple[Callable[[Any], Any], ...]:
        return tuple(value.convert for value in self.values)

    def _steps(self, row: Sequence[Any]) -> zip[tuple[Callable[[Any], Any], Any]]:
        return zip(self._converters, row[1:], strict=False)

    def _errors(self, row: Sequence[Any]) -> list[ConversionError]:
        errors = []
        for convert, value in self._steps(row):
            try:
                convert(value)
            except ConversionError as error:
                errors.append(error)
        return errors

    def _value(self, name: str, column: Column | ForeignKey) -> Value:
        target = self.target._meta.get_field(name)
        if not isinstance(target, models.Field):
            raise FieldDoesNotExist(f"{self.target.__name__}.{name} has no column")
        if isinstance(column, ForeignKey):
            return Value(name, column.source, Key(null_as=column.null_as), None, not target.null)
        converter = column.converter or usual(target)
        if converter is None:
            raise TypeError(f"there is no usual converter for a {type(target).__name__}")
        may_be_empty = target.blank and isinstance(target, _TEXTS)
        null_as = column.null_as
        if null_as is None and not target.null and may_be_empty:
            null_as = ""
        return Value(
            name, column.source or name, converter.fitted(target), null_as, not target.null
        )


def _shown(path: str) -> str:
    """A file's path as short as it is still clear."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
