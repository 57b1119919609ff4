"""Stores a prepared batch in the target: rows, their mappings, what was refused.

Owns what happens when the database refuses something: who is at fault is found by sets where
that is possible, else by halving the batch down to the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, connections, router, transaction

from migrationsync.converters import ConversionError
from migrationsync.identifiers import uuid7_texts
from migrationsync.loading import quarantine
from migrationsync.loading.preparing import Prepared
from migrationsync.loading.refusals import Refusal
from migrationsync.loading.statements import Statements
from migrationsync.models import LegacyIdMapping

# Rows that are sent to COPY at once.
BLOCK = 1_000
# What a row can be at fault for, by the first characters of SQLSTATE: its data, a constraint,
# a trigger that refused it, an index that has no room for it.
_ROWS_FAULT = ("22", "23", "P0001", "54000")
_GONE = "points to a row of {}, but there is none (not brought over yet, or refused itself)"


@dataclass(frozen=True)
class Written:
    """What became of a batch's rows. `unchanged` were as the source says already."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    refusals: list[Refusal] = field(default_factory=list)

    def __add__(self, other: Written) -> Written:
        return Written(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.refusals + other.refusals,
        )


def write(prepared: Prepared, *, batch_name: str) -> Written:
    """Stores the batch, all of it or nothing; `refusals` are in the quarantine.

    Commits nothing where the caller has a transaction open, else commits. What the source says
    wins over what the target has. Idempotent: the same batch again changes nothing. Raises
    SourceUnreachable where a refused row has to be read again, and what the database raises
    that isn't a row's fault.
    """
    writer = _Writer(prepared, batch_name)
    with transaction.atomic(using=writer.alias):
        with writer.connection.cursor() as cursor:
            # A batch is small beside what just-in-time compilation is for.
            cursor.execute("SET LOCAL jit = off")
            cursor.execute("SET LOCAL work_mem = '64MB'")
        written = Written(refusals=prepared.refusals)
        if prepared.lines:
            written += writer.store(prepared.lines)
        quarantine.record(writer.connection, prepared, written.refusals, batch_name=batch_name)
    return written


class _Writer:
    def __init__(self, prepared: Prepared, batch_name: str) -> None:
        self.alias = router.db_for_write(LegacyIdMapping)
        self.connection = connections[self.alias]
        self._entity = prepared.entity
        self._table = prepared.table.name
        self._batch = batch_name
        self._sql = Statements(prepared.entity, self.connection)

    def store(self, lines: Sequence[str]) -> Written:
        try:
            return self._attempt(lines, looks_closely=False)
        except DatabaseError as error:
            if not _is_rows_fault(error):
                raise
        return self._search(lines)

    def _search(self, lines: Sequence[str]) -> Written:
        """Some row is at fault: looks at what can be found by sets, then in each half."""
        try:
            return self._attempt(lines, looks_closely=True)
        except DatabaseError as error:
            if not _is_rows_fault(error):
                raise
            if len(lines) == 1:
                return Written(refusals=[self._refusal(lines[0], error)])
        middle = len(lines) // 2
        return self._search(lines[:middle]) + self._search(lines[middle:])

    def _attempt(self, lines: Sequence[str], *, looks_closely: bool) -> Written:
        """All of the lines or none."""
        with transaction.atomic(using=self.alias):
            self._stage(lines)
            refusals = self._refused(looks_closely=looks_closely)
            known = self._number(self._sql.known_rows)
            recreated = updated = unchanged = 0
            if known:
                # First: the new ones would count as known.
                recreated, updated = self._row(self._sql.store_known)
                kept = self._number(self._sql.refresh_mappings(self._batch))
                unchanged = kept - recreated - updated
            inserted = self._count(
                self._sql.insert_new(self._batch, self._table, beside_known=bool(known))
            )
            written = Written(inserted + recreated, updated, unchanged, refusals)
            missing = len(lines) - _total(written)
            if missing and self._entity.foreign_keys:
                written += Written(refusals=self._dangling(looks_closely=False))
                missing = len(lines) - _total(written)
            if missing:
                raise RuntimeError(
                    f"{self._entity}: {missing} rows were neither stored nor refused"
                )
            # Else a foreign key is looked at when the caller commits: too late to say which.
            self.connection.check_constraints()
            return written

    def _stage(self, lines: Sequence[str]) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(self._sql.drop_stage)
            cursor.execute(self._sql.create_stage)
            with (
                self.connection.wrap_database_errors,
                cursor.copy(self._sql.copy) as copy,
            ):
                for begin in range(0, len(lines), BLOCK):
                    block = lines[begin : begin + BLOCK]
                    keys = uuid7_texts(len(block))
                    rows = zip(keys, block, strict=True)
                    copy.write("".join([f"{key}\t{line}" for key, line in rows]))

    # --- refusing -----------------------------------------------------------------

    def _refused(self, *, looks_closely: bool) -> list[Refusal]:
        refusals = []
        for check in self._entity.checks:
            if check.sql is not None:
                problem = f"is refused: it isn't true that it {check.name}"
                refusals += [
                    Refusal(key, (ConversionError("the row", problem),))
                    for (key,) in self._rows(self._sql.failing(check.sql))
                ]
        uniques = self._sql.uniques
        if self._entity.foreign_keys and (uniques or looks_closely):
            refusals += self._dangling(looks_closely=looks_closely)
        for names in uniques:
            columns = ", ".join(self._source_column(name) for name in names)
            problem = f"is another row's already ({', '.join(names)} must be unique)"
            refusals += [
                Refusal(key, (ConversionError(shown, problem, columns),))
                for key, shown in self._rows(self._sql.duplicates(names))
            ]
        return refusals

    def _dangling(self, *, looks_closely: bool) -> list[Refusal]:
        refusals = []
        keys = self._entity.foreign_keys.values()
        for key, *found in self._rows(self._sql.dangling(to_the_row=looks_closely)):
            errors = [
                ConversionError(value, _GONE.format(column.entity), column.source)
                for column, value, is_bad in zip(keys, found[::2], found[1::2], strict=True)
                if is_bad
            ]
            refusals.append(Refusal(key, tuple(errors)))
        return refusals

    def _refusal(self, line: str, error: DatabaseError) -> Refusal:
        """What the database said of one row."""
        diagnosis = getattr(error.__cause__, "diag", None)
        message = (diagnosis and diagnosis.message_primary) or str(error).partition("\n")[0]
        column = ""
        for name in self._entity.columns:
            target: Any = self._entity.target._meta.get_field(name)
            if diagnosis and diagnosis.column_name in (target.column, name):
                column = self._source_column(name)
        refused = ConversionError("the row", f"is refused by the database: {message}", column)
        return Refusal(int(line.partition("\t")[0]), (refused,))

    def _source_column(self, name: str) -> str:
        return next(value.source for value in self._entity.values if value.field == name)

    # --- asking -------------------------------------------------------------------

    def _rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def _row(self, statement: str) -> tuple[Any, ...]:
        return self._rows(statement)[0]

    def _number(self, statement: str) -> int:
        return int(self._row(statement)[0])

    def _count(self, statement: str) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return int(cursor.rowcount)


def _is_rows_fault(error: DatabaseError) -> bool:
    state = getattr(error.__cause__, "sqlstate", None) or ""
    return state.startswith(_ROWS_FAULT)


def _total(written: Written) -> int:
    return written.inserted + written.updated + written.unchanged + len(written.refusals)
