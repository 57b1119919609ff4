"""Writes to a legacy database: the only place that does.

Owns transactions on the source that may write, and single statements, each of one row and each
guarded by the checksum that the row must still have. Doesn't own what is written
(`migrationsync.returning`). Which rights it takes is in docs/sync-rights.md.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from migrationsync.checksums import source_sql
from migrationsync.entities import Entity
from migrationsync.names import quoted, quoted_table
from migrationsync.source.errors import SourceError, SourceUnreachable, translated
from migrationsync.source.reading import Source
from migrationsync.source.schema import Table

SEQUENCE_BEHIND = "set its sequence behind the greatest key"
# How long a row of the source may be held by somebody else.
LOCK_SECONDS = 10


class MayNotWrite(SourceError):
    """The source refuses to be written to, whichever row it is. Says what it takes."""


class RowRefused(Exception):
    """The source refuses this row, in its own words. Nothing of the row was written."""


class Writer(Source):
    """An open transaction on the source that may write; reading shows what it wrote so far.

    Made by `writing`.
    """

    def __init__(self, alias: str, entity: Entity, table: Table) -> None:
        super().__init__(alias)
        self._entity = entity
        self._table = table
        # A percent sign in a name isn't a parameter's.
        self._name = quoted_table(table.name, self.vendor).replace("%", "%%")
        self._key = self._quoted(entity.key)
        checksum = source_sql(entity, table, self.vendor).replace("%", "%%")
        self._guarded = f"WHERE {self._key} = %s AND {checksum} = %s"

    @contextlib.contextmanager
    def session(self) -> Iterator[BaseDatabaseWrapper]:
        with _told(self.connection, self._table):
            yield self.connection

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """One row: what is written of it within is undone where it is refused.

        Raises RowRefused. So do the statements themselves, and MayNotWrite where it isn't the
        row's fault.
        """
        with transaction.atomic(using=self.alias):
            yield

    def update(self, key: int, values: Mapping[str, Any], checksum: str) -> bool:
        """Sets these columns; False where the row is gone or no longer as `checksum` says."""
        sets = ", ".join(f"{self._quoted(name)} = %s" for name in values)
        return self._changed(
            f"UPDATE {self._name} SET {sets} {self._guarded}",
            [*self._parameters(values), key, checksum],
        )

    def delete(self, key: int, checksum: str) -> bool:
        """False where the row is gone or no longer as `checksum` says."""
        return self._changed(f"DELETE FROM {self._name} {self._guarded}", [key, checksum])

    def insert(self, values: Mapping[str, Any]) -> int:
        """A new row; answers its key, which the source chooses where `values` have none."""
        columns = ", ".join(map(self._quoted, values))
        places = ", ".join(["%s"] * len(values))
        # PostgreSQL's GENERATED ALWAYS would refuse a key that was reserved before.
        is_postgresql = self.vendor == "postgresql"
        overriding = "OVERRIDING SYSTEM VALUE " if is_postgresql else ""
        returning = f" RETURNING {self._key}" if is_postgresql else ""
        with (
            self._own_keys(is_given=self._entity.key in values),
            self.session() as session,
            session.cursor() as cursor,
        ):
            cursor.execute(
                f"INSERT INTO {self._name} ({columns}) {overriding}VALUES ({places}){returning}",
                self._parameters(values),
            )
            if self._entity.key in values:
                return int(values[self._entity.key])
            return int(cursor.fetchone()[0] if is_postgresql else cursor.lastrowid)

    @contextlib.contextmanager
    def _own_keys(self, *, is_given: bool) -> Iterator[None]:
        """Says what to do where PostgreSQL's sequence gives a key that a row has already; other
        engines look at the rows themselves."""
        try:
            yield
        except RowRefused as refusal:
            if not is_given and _is_taken(refusal.__cause__, self._entity.key):
                raise RowRefused(f"{refusal}; {SEQUENCE_BEHIND}") from refusal
            raise

    def _quoted(self, column: str) -> str:
        return quoted(column, self.vendor).replace("%", "%%")

    def _changed(self, statement: str, parameters: Sequence[Any]) -> bool:
        with self.session() as session, session.cursor() as cursor:
            cursor.execute(statement, parameters)
            # Of MySQL, Django's connections count the rows that were found, changed or not.
            return bool(cursor.rowcount)

    def _parameters(self, values: Mapping[str, Any]) -> list[Any]:
        return [_parameter(self.vendor, value) for value in values.values()]


@contextlib.contextmanager
def writing(source: Source, entity: Entity, table: Table) -> Iterator[Writer]:
    """A transaction on the source, which commits at its end; its clock is in UTC.

    Not within another one of the same alias. Raises SourceUnreachable (also where another session
    holds the rows for too long), MayNotWrite.
    """
    connection = source.connection
    # By hand: what fails in between may be somebody else's database, and isn't told as this one's.
    opened = _transaction(connection)
    with _told(connection, table):
        opened.__enter__()
    try:
        with _told(connection, table):
            _refuse_without_transactions(connection, table)
        yield Writer(source.alias, entity, table)
    except BaseException:
        opened.__exit__(*sys.exc_info())
        raise
    with _told(connection, table):
        opened.__exit__(None, None, None)


@contextlib.contextmanager
def _told(connection: BaseDatabaseWrapper, table: Table) -> Iterator[None]:
    """Tells apart what a source says: that it is away or busy, that we may not write, or that
    it refuses the row."""
    vendor = connection.vendor
    with translated(connection):
        try:
            yield
        except DatabaseError as error:
            code, message = _code(vendor, error), _message(error)
            if code.startswith(_NOT_ALLOWED[vendor]) or "readonly" in message:
                raise MayNotWrite(
                    f"The source's user may not write to {table.name}: {message}. Give it the "
                    "rights of docs/sync-rights.md, or let the job go one way."
                ) from error
            if code.startswith(_BUSY[vendor]) or "is locked" in message:
                raise SourceUnreachable(
                    f"The legacy table {table.name} is busy, another session holds its rows: "
                    f"{message}."
                ) from error
            if code.startswith(_ROWS_FAULT[vendor]):
                raise RowRefused(f"is refused by the source: {message}") from error
            raise


@contextlib.contextmanager
def _transaction(connection: BaseDatabaseWrapper) -> Iterator[None]:
    match connection.vendor:
        case "postgresql":
            settings = (
                "SET LOCAL datestyle TO 'ISO, YMD'; SET LOCAL timezone TO 'UTC'; "
                f"SET LOCAL lock_timeout TO '{LOCK_SECONDS}s'; "
                # Else a foreign key is looked at when all is committed: too late to say whose.
                "SET CONSTRAINTS ALL IMMEDIATE"
            )
            with transaction.atomic(using=connection.alias, durable=True):
                _execute(connection, settings)
                yield
        case "mysql":
            # Without the strict mode it would cut what is too long, and say nothing.
            _execute(
                connection,
                "SET time_zone = '+00:00', "
                "sql_mode = concat(@@sql_mode, ',STRICT_ALL_TABLES'), "
                f"innodb_lock_wait_timeout = {LOCK_SECONDS}",
            )
            with transaction.atomic(using=connection.alias, durable=True):
                yield
        case _:
            connection.ensure_connection()
            sqlite: Any = connection
            before = sqlite.transaction_mode
            # Who begins by reading can't always go on to write.
            sqlite.transaction_mode = "IMMEDIATE"
            try:
                with transaction.atomic(using=connection.alias, durable=True):
                    yield
            finally:
                sqlite.transaction_mode = before


def _refuse_without_transactions(connection: BaseDatabaseWrapper, table: Table) -> None:
    """MySQL has tables that keep what was rolled back."""
    if connection.vendor != "mysql":
        return
    database, _, name = table.name.rpartition(".")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.engine FROM information_schema.tables t "
            "JOIN information_schema.engines e USING (engine) WHERE e.transactions <> 'YES' "
            "AND t.table_schema = coalesce(%s, database()) AND t.table_name = %s",
            [database or None, name],
        )
        found = cursor.fetchone()
    if found:
        raise MayNotWrite(
            f"{table.name} is of the engine {found[0]}, which has no transactions: what fails half "
            "way would stay. Alter it to InnoDB, or let the job go one way."
        )


def _parameter(vendor: str, value: Any) -> Any:
    if vendor == "mysql" and isinstance(value, dt.datetime) and value.tzinfo is not None:
        # Its TIMESTAMP is of the session's zone.
        return value.astimezone(dt.UTC).replace(tzinfo=None)
    return value


# By the first characters of SQLSTATE; of MySQL by its own numbers; SQLite has neither, but
# Django's classes tell.
_ROWS_FAULT = {
    "postgresql": ("22", "23", "P0001", "44000", "54000"),
    # Bad data, a constraint, and what a trigger refuses.
    "mysql": (
        *("1048", "1062", "1216", "1217", "1264", "1265", "1292", "1364", "1366", "1406", "1411"),
        *("1441", "1451", "1452", "1644", "3819", "4025"),
    ),
    "sqlite": ("IntegrityError", "DataError"),
}
_NOT_ALLOWED = {
    # Also: a transaction that is read-only by the user's own settings, or a standby's.
    "postgresql": ("42501", "25006"),
    "mysql": ("1142", "1143", "1290", "1370", "1792"),
    "sqlite": (),
}
_BUSY = {"postgresql": ("55P03", "40P01", "40001"), "mysql": ("1205", "1213"), "sqlite": ()}


def _code(vendor: str, error: DatabaseError) -> str:
    if vendor == "postgresql":
        return getattr(error.__cause__, "sqlstate", None) or ""
    return str(error.args[0]) if vendor == "mysql" and error.args else type(error).__name__


def _is_taken(error: BaseException | None, key: str) -> bool:
    """Whether PostgreSQL refuses a row for its key, which another one has."""
    diagnosis = getattr(error and error.__cause__, "diag", None)
    # Its detail has the columns as SQL writes them: Key ("Art Id")=(3) already exists.
    columns = (f"({key})=(", f"({quoted(key, 'postgresql')})=(")
    detail = (diagnosis and diagnosis.sqlstate == "23505" and diagnosis.message_detail) or ""
    return any(each in detail for each in columns)


def _message(error: DatabaseError) -> str:
    diagnosis = getattr(error.__cause__, "diag", None)
    told = diagnosis.message_primary if diagnosis else error.args[-1] if error.args else error
    return str(told).strip().partition("\n")[0].rstrip(".")


def _execute(connection: BaseDatabaseWrapper, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
