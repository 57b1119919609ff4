"""Rows that PostgreSQL converts itself: they pass through Python as lines, unread.

For entities whose whole mapping is SQL, from a source on PostgreSQL.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass

import psycopg

from migrationsync.checksums import source_sql
from migrationsync.deleted import deleted_sql
from migrationsync.entities import Entity
from migrationsync.loading.converting import NULL
from migrationsync.names import quoted, quoted_table
from migrationsync.source import Source, Table
from migrationsync.source.reading import BATCH_BYTES

# Key and checksum come before the entity's columns.
_HEAD = 2


class NotPlain(Exception):
    """PostgreSQL refused a value; it doesn't tell which row's."""


@dataclass(frozen=True)
class Lines:
    """`lines` as `converting.Converted` has them. `incomplete` are the keys of rows that lack
    what the target requires: only Python can say what is wrong with them."""

    lines: list[str]
    incomplete: list[int]
    deleted: int
    last: int | None
    is_cut: bool


def is_plain(entity: Entity, source: Source, table: Table) -> bool:
    return source.vendor == "postgresql" and not entity.not_plain(table.columns)


def read_lines(
    entity: Entity,
    source: Source,
    table: Table,
    *,
    after: int | None,
    until: int | None,
    size: int,
    max_bytes: int = BATCH_BYTES,
) -> Lines:
    """The next rows as `Source.read` finds them. Raises NotPlain and SourceUnreachable."""
    required = [_HEAD + n for n, value in enumerate(entity.values) if value.is_required]
    lines: list[str] = []
    incomplete: list[int] = []
    deleted = weight = 0
    last, is_cut = "", False
    with source.session() as connection, connection.wrap_database_errors:
        statement = _statement(entity, table, after, until, size)
        with (
            connection.connection.cursor() as cursor,
            contextlib.closing(_copied(cursor, statement)) as copied,
        ):
            for found in copied:
                weight += len(found)
                if last and weight > max_bytes:
                    is_cut = True
                    break
                # “t” or “f” of deleted, a tab, and the line.
                line = found[2:]
                last = line
                if found[0] == "t":
                    deleted += 1
                elif NULL in line and _lacks(line, required):
                    incomplete.append(_key(line))
                else:
                    lines.append(line)
    return Lines(lines, incomplete, deleted, _key(last) if last else None, is_cut)


def _statement(
    entity: Entity, table: Table, after: int | None, until: int | None, size: int
) -> str:
    # By the table: ORDER BY takes a bare name for that of a result, and several may have it.
    key = f"s.{quoted(entity.key, 'postgresql')}"
    values = (
        value.sql(quoted(value.source, "postgresql"), table.columns[value.source])
        for value in entity.values
    )
    columns = (
        deleted_sql(entity, table, "postgresql") or "false",
        key,
        source_sql(entity, table, "postgresql"),
        *(str(value) for value in values),
    )
    bounds = {">": after, "<=": until}
    # COPY takes no parameters; these are numbers.
    conditions = [f"{key} {sign} {int(to)}" for sign, to in bounds.items() if to is not None]
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    name = quoted_table(table.name, "postgresql")
    rows = f"FROM {name} AS s {where} ORDER BY {key} LIMIT {int(size)}"
    return f"COPY (SELECT {', '.join(columns)} {rows}) TO STDOUT"


def _copied(
    cursor: psycopg.Cursor[tuple[object, ...]], statement: str
) -> Generator[str, None, None]:
    """PostgreSQL sends a row at a time; where it is SQL_ASCII, whatever bytes it holds."""
    try:
        with cursor.copy(statement.encode()) as copy:
            for data in copy:
                yield str(data, "utf-8")
    except (psycopg.DataError, psycopg.IntegrityError, UnicodeDecodeError) as error:
        raise NotPlain(str(error)) from error


def _lacks(line: str, required: list[int]) -> bool:
    values = line.rstrip("\n").split("\t")
    return any(values[place] == NULL for place in required)


def _key(line: str) -> int:
    return int(line.partition("\t")[0])
