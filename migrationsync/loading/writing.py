"""Stores a prepared batch in the target: rows, their mappings, what was refused.

Owns what happens when the database refuses something: who is at fault is found by sets where
that is possible, else by halving the batch down to the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DatabaseError, connections, router, transaction
from django.db.models import UniqueConstraint

from migrationsync.converters import ConversionError
from migrationsync.entities import Entity
from migrationsync.identifiers import uuid7_texts
from migrationsync.last_synced import field_of
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
# A null and a CHECK: there the database's detail is the whole row, which is kept anyway.
_DETAIL_IS_ROW = ("23502", "23514")
# Of what the database says about a value.
DETAIL_CHARACTERS = 300
_DANGLES = "points to a row of {}, but there is none (not brought over yet, or refused itself)"
_TAKEN = "is another row's already ({} must be unique)"


@dataclass(frozen=True)
class Written:
    """What became of a batch's rows. `unchanged` were as the source says already; `kept` weren't,
    and are left as the target has them."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    kept: int = 0
    refusals: list[Refusal] = field(default_factory=list)

    def __add__(self, other: Written) -> Written:
        return Written(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.kept + other.kept,
            self.refusals + other.refusals,
        )


@dataclass(frozen=True)
class _Move:
    """A row that gets its unique values from `holder`, another row of the batch. Legacy keys."""

    names: tuple[str, ...]
    key: int
    shown: str
    holder: int


def write(prepared: Prepared, *, batch_name: str, keeps_changes: bool = False) -> Written:
    """Stores the batch, all of it or nothing; `refusals` are in the quarantine.

    Commits nothing where the caller has a transaction open, else commits. What the source says
    wins over what the target has, unless the batch `keeps_changes`: then a row that was changed
    in the target, or deleted there, since it was last synced is left as it is, and its mapping
    too. Idempotent: the same batch again changes nothing. Raises
    SourceUnreachable where a refused row has to be read again, and what the database raises
    that isn't a row's fault.
    """
    writer = _Writer(prepared, batch_name, keeps_changes=keeps_changes)
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


def mended_by_others(entity: Entity) -> frozenset[str]:
    """The problems of a row that other rows of the same table may mend, once they are stored: a
    missing parent, and a unique value that another one has. Empty for most tables."""
    uniques = Statements(entity, connections[router.db_for_write(LegacyIdMapping)]).uniques
    dangling = [_DANGLES.format(entity.name)] if entity.own_keys else []
    return frozenset([*dangling, *(_taken(names) for names in uniques)])


class _Writer:
    def __init__(self, prepared: Prepared, batch_name: str, *, keeps_changes: bool) -> None:
        self.alias = router.db_for_write(LegacyIdMapping)
        self.connection = connections[self.alias]
        self._entity = prepared.entity
        self._table = prepared.table.name
        self._batch = batch_name
        self._keeps_changes = keeps_changes
        self._sql = Statements(prepared.entity, self.connection)
        # Rows that were refused because of another: it has their values, or isn't there.
        self._waiting: set[int] = set()

    def store(self, lines: Sequence[str]) -> Written:
        try:
            return self._attempt(lines, looks_closely=False)
        except DatabaseError as error:
            if not _is_rows_fault(error):
                raise
        return self._together(lines, self._search(lines))

    def _together(self, lines: Sequence[str], written: Written) -> Written:
        """Halving may have parted rows that give each other their values, and children from their
        parents: those once more, as long as any comes good."""
        while again := {each.key for each in written.refusals} & self._waiting:
            found = self._search([line for line in lines if _key(line) in again])
            others = [each for each in written.refusals if each.key not in again]
            written = replace(written, refusals=others) + found
            if len(found.refusals) == len(again):
                break
        return written

    def _search(self, lines: Sequence[str]) -> Written:
        """Some row is at fault: looks at what can be found by sets, then in each half."""
        self._waiting -= {_key(line) for line in lines}
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
            recreated = updated = unchanged = kept = 0
            if known and self._keeps_changes:
                # Before unique values are looked at: a row that is left as it is gives none away.
                kept = self._count(self._sql.keep_changes)
                if kept and self._entity.own_keys:
                    # One that is gone from the target stays so, whoever points to it.
                    refusals += self._dangling(looks_closely=True)
            taken, moves = self._settled(looks_closely=looks_closely)
            refusals += taken
            self._park(moves)
            if self._sql.made:
                self._make_defaults()
            if known:
                # First: the new ones would count as known.
                recreated, updated = self._row(self._sql.store_known)
                refreshed = self._number(self._sql.refresh_mappings(self._batch))
                unchanged = refreshed - recreated - updated
            inserted = self._count(
                self._sql.insert_new(self._batch, self._table, beside_known=bool(known))
            )
            written = Written(inserted + recreated, updated, unchanged, kept, refusals)
            missing = len(lines) - _total(written)
            if missing and self._entity.foreign_keys:
                gone = self._dangling(looks_closely=False)
                if {each.key for each in gone} & {move.holder for move in moves}:
                    raise RuntimeError(f"{self._entity}: a row was unmapped while it was stored")
                written += Written(refusals=gone)
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
                    copy.write(
                        "".join([f"{key}\t{line[:-1]}\t{field_of(line)}\n" for key, line in rows])
                    )
            if self._entity.own_keys:
                cursor.execute(self._sql.index_stage)

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
        # Else those are what wasn't stored in the end; but children count on the staged parent.
        is_first = self._sql.uniques or self._entity.own_keys or looks_closely
        if self._entity.foreign_keys and is_first:
            refusals += self._dangling(looks_closely=looks_closely)
        return refusals

    def _settled(self, *, looks_closely: bool) -> tuple[list[Refusal], list[_Move]]:
        """What `_contested` finds, once nothing that is still staged is a child of what it took
        out, or waits for the values of one."""
        refusals, moves = self._contested()
        taken = refusals
        while taken and self._entity.own_keys:
            below = [each.key for each in taken]
            gone = self._dangling(looks_closely=looks_closely, below=below)
            if not gone:
                break
            taken, moves = self._contested()
            refusals = [*refusals, *gone, *taken]
        return refusals, moves

    def _contested(self) -> tuple[list[Refusal], list[_Move]]:
        """The rows whose unique values are another's, taken out, and those that get theirs from
        another row of the batch."""
        refused: dict[int, Refusal] = {}
        moves: list[_Move] = []
        # By the row that is waited for.
        waiting: dict[int, list[_Move]] = {}
        for names in self._sql.uniques:
            found, blocked = self._rows(self._sql.claims(names)), []
            for key, shown, is_refused, holder in found:
                if is_refused or not self._sql.can_park(names):
                    refused[key] = self._another_has(names, key, shown)
                    blocked += [] if is_refused else [key]
                else:
                    moves.append(_Move(names, key, shown, holder))
                    waiting.setdefault(holder, []).append(moves[-1])
            self._take_out(blocked)
        # Whoever waits for a row that is refused is refused too, and so on.
        blocked, left = [], list(refused)
        while left:
            for move in waiting.get(left.pop(), ()):
                if move.key not in refused:
                    refused[move.key] = self._another_has(move.names, move.key, move.shown)
                    blocked.append(move.key)
                    left.append(move.key)
        self._take_out(blocked)
        self._waiting |= refused.keys()
        return [*refused.values()], [move for move in moves if move.key not in refused]

    def _take_out(self, keys: Sequence[int]) -> None:
        if keys:
            self._count(self._sql.take_out(keys))

    def _another_has(self, names: tuple[str, ...], key: int, shown: str) -> Refusal:
        source = self._source_columns(names)
        return Refusal(key, (ConversionError(shown, _taken(names), source),))

    def _park(self, moves: Sequence[_Move]) -> None:
        for names in dict.fromkeys(move.names for move in moves):
            holders = {move.holder for move in moves if move.names == names}
            self._count(self._sql.park(names, sorted(holders)))

    def _make_defaults(self) -> None:
        """What Django would call for each new row: none shares another's key or token."""
        fields = [each.made_by for each in self._sql.made if each.made_by is not None]
        keys = self._rows(self._sql.new_rows)
        with self.connection.cursor() as cursor:
            cursor.execute(self._sql.drop_defaults)
            cursor.execute(self._sql.create_defaults)
            with (
                self.connection.wrap_database_errors,
                cursor.copy(self._sql.copy_defaults) as copy,
            ):
                for (key,) in keys:
                    values = [
                        each.get_db_prep_save(each.get_default(), self.connection)
                        for each in fields
                    ]
                    copy.write_row((key, *values))

    def _dangling(
        self, *, looks_closely: bool, below: Sequence[int] | None = None
    ) -> list[Refusal]:
        """The rows that point to none, taken out; of a tree their children too, and so on. `below`:
        only children of these, which were taken out before."""
        refusals: list[Refusal] = []
        while below is None or below:
            statement = self._sql.dangling(to_the_row=looks_closely, below=below)
            found = [Refusal(key, self._gone(values)) for key, *values in self._rows(statement)]
            refusals += found
            below = [each.key for each in found] if self._entity.own_keys else []
        if self._entity.own_keys:
            self._waiting |= {each.key for each in refusals}
        return refusals

    def _gone(self, found: Sequence[Any]) -> tuple[ConversionError, ...]:
        """`found` has for each foreign key its value, and whether it dangles."""
        keys = self._entity.foreign_keys.values()
        return tuple(
            ConversionError(value, _DANGLES.format(column.entity), column.source)
            for column, value, is_bad in zip(keys, found[::2], found[1::2], strict=True)
            if is_bad
        )

    def _refusal(self, line: str, error: DatabaseError) -> Refusal:
        """What the database said of one row."""
        diagnosis = getattr(error.__cause__, "diag", None)
        message = (diagnosis and diagnosis.message_primary) or str(error).partition("\n")[0]
        if diagnosis and diagnosis.message_detail and diagnosis.sqlstate not in _DETAIL_IS_ROW:
            # Which value, of which key.
            message = f"{message}: {diagnosis.message_detail[:DETAIL_CHARACTERS]}"
        column = ""
        options = self._entity.target._meta
        for name in self._entity.columns:
            target: Any = options.get_field(name)
            if diagnosis and diagnosis.column_name in (target.column, name):
                column = self._source_columns([name])
        for each in options.constraints:
            is_at_fault = diagnosis and each.name == diagnosis.constraint_name
            if is_at_fault and isinstance(each, UniqueConstraint):
                column = self._source_columns(each.fields)
        problem = f"is refused by the database: {message}"
        if at_fault := "" if column else self._wrong_defaults():
            problem = f"{problem}; {at_fault}"
        refused = ConversionError("the row", problem, column)
        return Refusal(_key(line), (refused,))

    def _wrong_defaults(self) -> str:
        """The defaults that aren't what their own fields take: the database names no column for
        some of what it refuses. Tried anew, since only a refused row has to know."""
        wrong = []
        for each in self._sql.made:
            field: Any = each.made_by
            try:
                field.run_validators(field.get_default())
            except ValidationError as error:
                wrong.append(f"the default of {field.name}: {' '.join(error.messages)}")
        return "; ".join(wrong)

    def _source_columns(self, names: Iterable[str]) -> str:
        """Of those that the declaration fills."""
        by_field = {value.field: value.source for value in self._entity.values}
        return ", ".join(by_field[name] for name in names if name in by_field)

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


def _key(line: str) -> int:
    return int(line[: line.index("\t")])


def _taken(names: Iterable[str]) -> str:
    return _TAKEN.format(", ".join(names))


def _is_rows_fault(error: DatabaseError) -> bool:
    state = getattr(error.__cause__, "sqlstate", None) or ""
    return state.startswith(_ROWS_FAULT)


def _total(written: Written) -> int:
    stored = written.inserted + written.updated + written.unchanged
    return stored + written.kept + len(written.refusals)
