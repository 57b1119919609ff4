"""Makes the legacy database of the dispatch office, by each engine's fastest way in."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from migrationsync.dispatch.legacy.rows import Row, rows
from migrationsync.dispatch.legacy.tables import TABLES, LegacyTable
from migrationsync.models import LegacyIdMapping

# Its presence says that the six tables beside it are ours to make anew.
MARK = "dispatch_made_for_encore"
CHUNK = 5_000

Told = Callable[[LegacyTable, int, int], None]


class IsTarget(Exception):
    """The database is one that the legacy one is to be migrated into."""

    def __init__(self, alias: str) -> None:
        super().__init__(
            f"The database “{alias}” is one that a legacy database is migrated into: the tables of "
            "a source aren't put there."
        )


class NotOurs(Exception):
    """The database has tables of these names that nobody here made."""

    def __init__(self, alias: str, tables: list[str]) -> None:
        super().__init__(
            f"The database “{alias}” has {', '.join(tables)} already, and they weren't made here."
        )


def make_legacy(
    alias: str, *, scale: float, seed: int = 1, replace: bool = False, told: Told | None = None
) -> dict[str, int]:
    """Makes the six tables in the database `alias` and answers how many rows each has.

    What an earlier run made is made anew. Tables that nobody here made are replaced with
    `replace` only; else raises NotOurs before anything is touched. Raises IsTarget for the database
    of our own tables, under whatever alias. `told` hears (table, rows done, rows in all) after
    every few thousand. Commits table by table; a run that was stopped is simply started again.
    """
    if alias == router.db_for_write(LegacyIdMapping):
        raise IsTarget(alias)
    connection = connections[alias]
    with connection.cursor() as cursor:
        present = set(connection.introspection.table_names(cursor))
    if LegacyIdMapping._meta.db_table in present:
        raise IsTarget(alias)
    foreign = [table.name for table in TABLES if table.name in present]
    if foreign and MARK not in present and not replace:
        raise NotOurs(alias, foreign)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {MARK} (seed integer, scale float)")
        cursor.execute(f"DELETE FROM {MARK}")
        cursor.execute(f"INSERT INTO {MARK} VALUES (%s, %s)", [seed, scale])
    made = {}
    for table in TABLES:
        total = table.rows(scale)
        with transaction.atomic(using=alias):
            with connection.cursor() as cursor:
                cursor.execute(f"DROP TABLE IF EXISTS {table.name}")
                cursor.execute(table.create(connection.vendor))
            done = 0
            for done in _written(connection, table, rows(table, scale=scale, seed=seed)):
                if told is not None:
                    told(table, done, total)
            with connection.cursor() as cursor:
                for statement in table.create_indexes():
                    cursor.execute(statement)
        made[table.name] = done
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {', '.join(table.name for table in TABLES)}")
    return made


def _written(
    connection: BaseDatabaseWrapper, table: LegacyTable, made: Iterator[Row]
) -> Iterator[int]:
    """Writes the rows; yields how many have been so far."""
    done = 0
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor, cursor.copy(f"COPY {table.name} FROM STDIN") as copy:
            for row in made:
                copy.write_row(row)
                done += 1
                if not done % CHUNK:
                    yield done
        if done % CHUNK:
            yield done
        return
    places = ", ".join(["%s"] * (1 + len(table.columns)))
    statement = f"INSERT INTO {table.name} VALUES ({places})"
    with connection.cursor() as cursor:
        # PyMySQL makes one statement of many rows from this.
        while chunk := list(itertools.islice(made, CHUNK)):
            cursor.executemany(statement, chunk)
            done += len(chunk)
            yield done
