"""What each engine does in its own way: refusing writes, streaming rows, estimating counts."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.adapt import Loader

Rows = Generator[tuple[Any, ...], None, None]


@contextlib.contextmanager
def reading_only(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """A transaction that can't write. Not to be opened within another one on MySQL, which
    decides that at a transaction's beginning."""
    match connection.vendor:
        case "postgresql":
            with transaction.atomic(using=connection.alias):
                _execute(connection, "SET TRANSACTION READ ONLY")
                _execute(connection, "SET LOCAL datestyle TO 'ISO, YMD'")
                _execute(connection, "SET LOCAL timezone TO 'UTC'")
                yield
        case "mysql":
            # For the next transaction only.
            _execute(connection, "SET TRANSACTION READ ONLY")
            _execute(connection, "SET time_zone = '+00:00'")
            with transaction.atomic(using=connection.alias):
                yield
        case _:
            _execute(connection, "PRAGMA query_only = 1")
            try:
                with transaction.atomic(using=connection.alias):
                    yield
            finally:
                _execute(connection, "PRAGMA query_only = 0")


def _execute(connection: BaseDatabaseWrapper, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def selected(connection: BaseDatabaseWrapper, column: str) -> str:
    """A column as it is selected.

    Django reads SQLite's dates by the declared type of the column, and makes null of what it
    can't read; an expression has no declared type.
    """
    return f"+{column}" if connection.vendor == "sqlite" else column


def rows(
    connection: BaseDatabaseWrapper, statement: str, parameters: Sequence[Any], *, are_long: bool
) -> Rows:
    """The rows of a statement, one by one; where they are long, without holding others in memory.

    To be closed when no more are needed.
    """
    match connection.vendor:
        case "postgresql":
            return _postgresql(connection, statement, parameters, are_long)
        case "mysql":
            return _mysql(connection, statement, parameters)
        case _:
            return _sqlite(connection, statement, parameters)


def estimate(connection: BaseDatabaseWrapper, table: str) -> int | None:
    """How many rows the engine believes a table to have; None where it doesn't know."""
    schema, _, name = table.rpartition(".")
    with connection.cursor() as cursor:
        match connection.vendor:
            case "postgresql":
                # Minus one where nobody has looked yet.
                cursor.execute(
                    "SELECT nullif(reltuples, -1)::bigint FROM pg_class "
                    "WHERE oid = to_regclass(%s)",
                    [".".join(map(connection.ops.quote_name, table.split(".")))],
                )
            case "mysql":
                cursor.execute(
                    "SELECT table_rows FROM information_schema.tables "
                    "WHERE table_schema = coalesce(%s, database()) AND table_name = %s",
                    [schema or None, name],
                )
            case _:
                return None
        found = cursor.fetchone()
        return int(found[0]) if found and found[0] is not None else None


def _lenient(kind: Callable[[str], Any], data: Any) -> Any:
    text = str(data, "utf-8")
    try:
        return kind(text)
    except ValueError:
        return text


class _LenientDate(Loader):
    """PostgreSQL has infinity and years that Python hasn't: they come as their text, so that
    one of them is one bad row, not a batch that can't be read. The session writes ISO 8601."""

    def load(self, data: Any) -> Any:
        return _lenient(dt.date.fromisoformat, data)


class _LenientTime(Loader):
    def load(self, data: Any) -> Any:
        return _lenient(dt.datetime.fromisoformat, data)


def _postgresql(
    connection: BaseDatabaseWrapper, statement: str, parameters: Sequence[Any], are_long: bool
) -> Rows:
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.adapters.register_loader("date", _LenientDate)
        cursor.adapters.register_loader("timestamp", _LenientTime)
        cursor.adapters.register_loader("timestamptz", _LenientTime)
        if are_long:
            # Left early, it cancels what the server would still send.
            yield from cursor.stream(statement, parameters)
        else:
            cursor.execute(statement, parameters)
            while chunk := cursor.fetchmany(1_000):
                yield from chunk


def _mysql(connection: BaseDatabaseWrapper, statement: str, parameters: Sequence[Any]) -> Rows:
    from MySQLdb.cursors import SSCursor

    with connection.wrap_database_errors:
        cursor = connection.connection.cursor(SSCursor)
        try:
            cursor.execute(statement, parameters)
            yield from cursor
        finally:
            # Takes what is left of the answer from the wire, row by row.
            cursor.close()


def _sqlite(connection: BaseDatabaseWrapper, statement: str, parameters: Sequence[Any]) -> Rows:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        yield from cursor
