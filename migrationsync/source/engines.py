"""What each engine does in its own way: refusing writes, streaming rows, estimating counts."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import DataError
from psycopg.adapt import Loader
from psycopg.types.datetime import IntervalLoader

from migrationsync.names import quoted_table

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
                _read_raw_texts(connection)
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


def is_raw(connection: BaseDatabaseWrapper) -> bool:
    """Whether the server keeps texts of no encoding: PostgreSQL's SQL_ASCII. Connected."""
    if connection.vendor != "postgresql":
        return False
    return bool(connection.connection.info.parameter_status("server_encoding") == "SQL_ASCII")


def _read_raw_texts(connection: BaseDatabaseWrapper) -> None:
    """Asked for UTF-8, such a server refuses a whole batch for one wrong byte. For this
    transaction it sends what it has."""
    if is_raw(connection):
        _execute(connection, "SET LOCAL client_encoding TO 'SQL_ASCII'")
        for kind in _TEXTS:
            connection.connection.adapters.register_loader(kind, _LenientText)


def selected(connection: BaseDatabaseWrapper, column: str) -> str:
    """A column as it is selected.

    Django reads SQLite's dates by the declared type of the column, and makes null of what it
    can't read; an expression has no declared type.
    """
    return f"+{column}" if connection.vendor == "sqlite" else column


def rows(
    connection: BaseDatabaseWrapper,
    statement: str,
    parameters: Sequence[Any],
    *,
    are_long: bool,
    lenient: bool = False,
) -> Rows:
    """The rows of a statement, one by one; where they are long, without holding others in memory.

    To be closed when no more are needed. `lenient` has SQLite's texts that aren't UTF-8 come as
    bytes, as PostgreSQL's always do.
    """
    match connection.vendor:
        case "postgresql":
            return _postgresql(connection, statement, parameters, are_long)
        case "mysql":
            return _mysql(connection, statement, parameters)
        case _:
            return _sqlite(connection, statement, parameters, lenient=lenient)


def is_undecodable(connection: BaseDatabaseWrapper, error: DatabaseError) -> bool:
    """Whether SQLite stumbled over a text that isn't UTF-8."""
    return connection.vendor == "sqlite" and "Could not decode to UTF-8" in str(error)


def _text_or_bytes(data: Any) -> str | bytes:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        return bytes(data)


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
                    [quoted_table(table, "postgresql")],
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


class _LenientClock(Loader):
    """PostgreSQL's day ends at 24:00, too."""

    def load(self, data: Any) -> Any:
        return _lenient(dt.time.fromisoformat, data)


class _LenientInterval(IntervalLoader):
    """A month is no length of time, and some lengths are too long for Python: their text."""

    def load(self, data: Any) -> Any:
        text = str(data, "utf-8")
        if "mon" in text or "year" in text:
            return text
        try:
            return super().load(data)
        except DataError:
            return text


class _LenientText(Loader):
    """A text; its bytes where they aren't UTF-8, so that it is one bad row's."""

    def load(self, data: Any) -> Any:
        return _text_or_bytes(data)


# Of kinds that have no loader of their own (enums), texts are the default: 0.
_TEXTS = ("text", "varchar", "bpchar", "name", "json", "jsonb", 0)


def _postgresql(
    connection: BaseDatabaseWrapper, statement: str, parameters: Sequence[Any], are_long: bool
) -> Rows:
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.adapters.register_loader("date", _LenientDate)
        cursor.adapters.register_loader("timestamp", _LenientTime)
        cursor.adapters.register_loader("timestamptz", _LenientTime)
        cursor.adapters.register_loader("time", _LenientClock)
        cursor.adapters.register_loader("interval", _LenientInterval)
        # Read as it is written: the text "5" isn't the number, and a float has fewer digits.
        cursor.adapters.register_loader("json", _LenientText)
        if are_long:
            # Left early, it cancels what the server would still send.
            yield from cursor.stream(statement.encode(), parameters)
        else:
            cursor.execute(statement.encode(), parameters)
            while chunk := cursor.fetchmany(1_000):
                yield from chunk


def _mysql(connection: BaseDatabaseWrapper, statement: str, parameters: Sequence[Any]) -> Rows:
    from MySQLdb.constants import FIELD_TYPE
    from MySQLdb.converters import convert_timedelta
    from MySQLdb.cursors import SSCursor

    with connection.wrap_database_errors:
        # From -838 to 838 hours; as a time of day, which Django reads, most of them can't be read.
        connection.connection.decoders[FIELD_TYPE.TIME] = convert_timedelta
        cursor = connection.connection.cursor(SSCursor)
        try:
            cursor.execute(statement, parameters)
            yield from cursor
        finally:
            # Takes what is left of the answer from the wire, row by row.
            cursor.close()


def _sqlite(
    connection: BaseDatabaseWrapper, statement: str, parameters: Sequence[Any], *, lenient: bool
) -> Rows:
    with connection.cursor() as cursor:
        sqlite: Any = connection.connection
        before = sqlite.text_factory
        if lenient:
            sqlite.text_factory = _text_or_bytes
        try:
            cursor.execute(statement, parameters)
            yield from cursor
        finally:
            sqlite.text_factory = before
