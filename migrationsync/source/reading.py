"""Reads a legacy database: any Django alias on PostgreSQL, MySQL or MariaDB, or SQLite.

Owns sessions that can only read, the check of a table against its declaration, and batches in
the order of the key. Doesn't own what becomes of the rows.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from migrationsync.columns import Family, SourceColumn
from migrationsync.entities import Entity
from migrationsync.names import quoted, quoted_table
from migrationsync.source import engines
from migrationsync.source.drift import drifts
from migrationsync.source.errors import (
    Drift,
    SchemaDrift,
    SourceDenied,
    SourceFailed,
    SourceInterrupted,
    first_line,
    translated,
)
from migrationsync.source.keys import key_drifts, look_at
from migrationsync.source.schema import Table, read_table

# What a batch may hold in texts and bytes before it ends early.
BATCH_BYTES = 32 * 1024 * 1024
# A column that holds at most so many characters isn't weighed.
SHORT = 1000
# An estimate below this is counted out: small tables' estimates are often far off.
COUNTED_BELOW = 50_000


@dataclass(frozen=True)
class Batch:
    """Rows in the order of the key, each beginning with it.

    `last` is the key to go on behind. `is_cut` says that the batch ended by its bytes, before
    it had the number of rows that was asked for.
    """

    rows: list[tuple[Any, ...]]
    last: int
    is_cut: bool


class Source:
    """The legacy database behind a Django alias.

    Every method raises SourceUnreachable when it is away, SourceDenied where it refuses this user,
    SourceInterrupted and SourceFailed where a statement fails. Nothing here writes, and the
    sessions are told to refuse it.
    """

    def __init__(self, alias: str = "legacy") -> None:
        self.alias = alias

    @property
    def connection(self) -> BaseDatabaseWrapper:
        return connections[self.alias]

    @property
    def vendor(self) -> str:
        return self.connection.vendor

    @contextlib.contextmanager
    def session(self) -> Iterator[BaseDatabaseWrapper]:
        """A transaction that can only read, with its clock in UTC."""
        connection = self.connection
        with translated(connection), engines.reading_only(connection):
            yield connection

    def table(self, name: str) -> Table | None:
        with self.session() as connection:
            return read_table(connection, name)

    def check(self, entities: Sequence[Entity]) -> dict[str, Table]:
        """The tables of `entities`, by the entities' names. Raises SchemaDrift with everything
        that is wrong with any of them, a right to read that lacks too. Looks at no rows."""
        found: dict[str, Table] = {}
        wrong: list[Drift] = []
        for entity in entities:
            table = self.table(entity.source)
            here = [*drifts(entity, table)]
            if table is not None:
                here = here or [*self._not_readable(entity, table)]
                found[entity.name] = table
            wrong += here
        if wrong:
            raise SchemaDrift(wrong)
        return found

    def check_keys(self, entities: Sequence[Entity], tables: Mapping[str, Table]) -> None:
        """Looks at the keys in `tables`, as `check` found them, where the engine promises nothing
        of them: a pass over each view. Raises SchemaDrift."""
        wrong: list[Drift] = []
        for entity in entities:
            with self.session() as connection:
                wrong += key_drifts(connection, entity, tables[entity.name])
        if wrong:
            raise SchemaDrift(wrong)

    def _not_readable(self, entity: Entity, table: Table) -> Iterator[Drift]:
        """The catalogue shows what this user may not read, and views that no longer work."""
        try:
            with self.session() as connection, connection.cursor() as cursor:
                names = ", ".join(quoted(name, self.vendor) for name in entity.source_columns)
                cursor.execute(f"SELECT {names} FROM {self._named(table)} LIMIT 0")
        except SourceInterrupted:
            raise
        except (SourceDenied, SourceFailed) as error:
            cause = error.__cause__
            told = first_line(cause) if isinstance(cause, DatabaseError) else str(error)
            is_denied = isinstance(error, SourceDenied)
            hint = "Give the source's user the right to read it." if is_denied else ""
            yield Drift(entity.name, entity.source, "", f"can't be read: {told}.", hint)

    def read(
        self,
        table: Table,
        columns: Sequence[str],
        *,
        after: int | None = None,
        until: int | None = None,
        keys: Sequence[int] | None = None,
        computed: Sequence[str] = (),
        limit: int,
        max_bytes: int = BATCH_BYTES,
    ) -> Batch | None:
        """The next rows behind the key `after` (None: from the beginning), up to and with `until`.

        `columns` begin with the key. `keys` are the only ones that are asked for; `computed` is
        SQL of this engine that every row brings behind its columns. At most `limit` rows, and no
        more once they hold `max_bytes`, but always one: a row is never taken apart. None where
        there are no more. One statement; the memory it takes doesn't grow with what it leaves
        in the table. Raises SchemaDrift for a key that can't be gone by, see `keys.look_at`. A
        text that isn't UTF-8 comes as its bytes.
        """
        with self.session() as connection:
            read = functools.partial(
                self._read,
                *(connection, table, columns),
                after=after,
                until=until,
                keys=keys,
                computed=computed,
                limit=limit,
                max_bytes=max_bytes,
            )
            try:
                rows, number = read()
            except DatabaseError as error:
                if not engines.is_undecodable(connection, error):
                    raise
                rows, number = read(lenient=True)
            look_at(table, columns[0], rows)
            is_cut = number < min(limit, len(rows))
            del rows[min(limit, number) :]
            if not rows:
                return None
            shape = [table.columns[name] for name in columns]
            _in_utc(rows, shape, connection.vendor)
            return Batch(rows, rows[-1][0], is_cut)

    def _read(
        self,
        connection: BaseDatabaseWrapper,
        table: Table,
        columns: Sequence[str],
        *,
        after: int | None,
        until: int | None,
        keys: Sequence[int] | None,
        computed: Sequence[str],
        limit: int,
        max_bytes: int,
        lenient: bool = False,
    ) -> tuple[list[tuple[Any, ...]], int]:
        """The rows, and how many of them `max_bytes` have room for.

        Where the key may come twice, one more than `limit`: it may have the last one's key.
        """

        def quote(name: str) -> str:
            # The statement has parameters.
            return quoted(name, self.vendor).replace("%", "%%")

        key = quote(columns[0])
        bounds = {f"{key} > %s": after, f"{key} <= %s": until}
        conditions = [sql for sql, bound in bounds.items() if bound is not None]
        parameters: list[Any] = [bound for bound in bounds.values() if bound is not None]
        if keys is not None:
            conditions.append(f"{key} IN ({', '.join(['%s'] * len(keys))})")
            parameters += keys
        expressions = [expression.replace("%", "%%") for expression in computed]
        selected = ", ".join(
            (*(engines.selected(connection, quote(name)) for name in columns), *expressions)
        )
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        name = self._named(table).replace("%", "%%")
        statement = f"SELECT {selected} FROM {name}{where} ORDER BY {key} LIMIT %s"
        parameters.append(limit if table.promises(columns[0]) else limit + 1)
        long = [i for i, column in enumerate(columns) if _is_long(table.columns[column])]
        rows: list[tuple[Any, ...]] = []
        weight = 0
        found = engines.rows(
            connection, statement, parameters, are_long=bool(long), lenient=lenient
        )
        with contextlib.closing(found):
            for row in found:
                weight += sum(_weight(row[i]) for i in long) if long else 0
                rows.append(row)
                if weight > max_bytes and len(rows) > 1:
                    return rows, len(rows) - 1
        return rows, len(rows)

    def batches(
        self,
        table: Table,
        columns: Sequence[str],
        *,
        after: int | None = None,
        until: int | None = None,
        size: int,
        max_bytes: int = BATCH_BYTES,
    ) -> Iterator[Batch]:
        """Batch after batch, each a read of its own: nothing is held open in between.

        Where rows are large, fewer are asked for at once, and more again when they are small.
        """
        limit = size
        while True:
            batch = self.read(
                table, columns, after=after, until=until, limit=limit, max_bytes=max_bytes
            )
            if batch is None:
                return
            yield batch
            after = batch.last
            limit = len(batch.rows) if batch.is_cut else min(size, limit * 2)

    def high_water(self, table: Table, key: str) -> int | None:
        """The greatest key there is now; None where the table is empty."""
        with self.session() as connection, connection.cursor() as cursor:
            name = quoted(key, self.vendor)
            cursor.execute(f"SELECT max({name}) FROM {self._named(table)}")
            found: int | None = cursor.fetchone()[0]
            return found

    def count(self, table: Table) -> int:
        """How many rows there are: what the engine believes, or counted where that is quick."""
        with self.session() as connection:
            estimate = None if table.is_view else engines.estimate(connection, table.name)
            if estimate is not None and estimate >= COUNTED_BELOW:
                return estimate
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT count(*) FROM {self._named(table)}")
                return int(cursor.fetchone()[0])

    def _named(self, table: Table) -> str:
        return quoted_table(table.name, self.vendor)


def _is_long(column: SourceColumn) -> bool:
    texts = (Family.TEXT, Family.BINARY, Family.JSON, Family.ARRAY, Family.OTHER)
    return column.family in texts and (column.length is None or column.length > SHORT)


def _weight(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_weight, value))
    # A number counts as one; in a list there may be many.
    return len(value) if isinstance(value, str | bytes) else 1


def _in_utc(rows: list[tuple[Any, ...]], shape: Sequence[SourceColumn], vendor: str) -> None:
    """MySQL's TIMESTAMP is a moment, but comes without its zone: the session's, UTC."""
    moments = [i for i, column in enumerate(shape) if column.family is Family.INSTANT]
    if vendor != "mysql" or not moments:
        return
    for number, row in enumerate(rows):
        changed = list(row)
        for i in moments:
            if isinstance(changed[i], dt.datetime):
                changed[i] = changed[i].replace(tzinfo=dt.UTC)
        rows[number] = tuple(changed)
