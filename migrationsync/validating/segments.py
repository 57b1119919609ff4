"""The next keys of either side, with what the source has in some of its columns.

Cut as a differential's segment is: at most so many keys of each side, at keys that are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from migrationsync.comparing.differential import cut
from migrationsync.comparing.sides import Keys, StoredSide
from migrationsync.converters.base import literal
from migrationsync.deleted import deleted_sql
from migrationsync.entities import Entity
from migrationsync.models import LegacyIdMapping
from migrationsync.source import Source, Table
from migrationsync.validating.base import EXAMPLES, Discrepancy

MAPPINGS = LegacyIdMapping._meta.db_table


@dataclass(frozen=True)
class SourceRow:
    key: int
    is_deleted: bool
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Segment:
    """The source's rows with keys from `first` to `last`, those that are marked as deleted too.
    `is_last`: neither side has keys behind it."""

    rows: list[SourceRow]
    first: int
    last: int
    is_last: bool


def next_segment(
    entity: Entity,
    source: Source,
    table: Table,
    columns: Sequence[str],
    *,
    after: int | None,
    size: int,
) -> Segment | None:
    """None where neither side has a key behind `after`. Raises SourceUnreachable."""
    mark = deleted_sql(entity, table, source.vendor)
    batch = source.read(
        table, (entity.key, *columns), after=after, computed=[mark] if mark else (), limit=size
    )
    stored = StoredSide(entity).keys(after, size)
    sides = [stored] if stored is not None else []
    if batch is not None:
        # Of one that was cut short there is more, however few rows it has.
        read = size if batch.is_cut else len(batch.rows)
        sides.append(Keys(batch.rows[0][0], batch.last, read))
    if not sides:
        return None
    keys, is_last = cut(sides, size)
    values = slice(1, 1 + len(columns))
    rows = [
        SourceRow(row[0], bool(row[-1]) if mark else False, row[values])
        for row in (batch.rows if batch else ())
        if row[0] <= keys.last
    ]
    return Segment(rows, keys.first, keys.last, is_last)


def mapped(entity: Entity, segment: Segment, alias: str = "m") -> str:
    """The condition that a row of the mapping is one of the segment's."""
    return (
        f"{alias}.entity_type = {literal(entity.name)} "
        f"AND {alias}.legacy_id BETWEEN {segment.first:d} AND {segment.last:d}"
    )


def target_of(entity: Entity, uuid: str) -> str:
    """Joins the target's row `t` that has this key, if there is one: looked up by its index.

    OFFSET keeps the planner from reading all of the target for each segment instead.
    """
    options = entity.target._meta
    key = connection.ops.quote_name((options.pk and options.pk.column) or "id")
    table = connection.ops.quote_name(options.db_table)
    return looked_up("t", f"SELECT *, {key} AS key_ FROM {table} WHERE {key} = {uuid}")


def looked_up(alias: str, query: str) -> str:
    return f"LEFT JOIN LATERAL ({query} OFFSET 0) {alias} ON TRUE"


def asked(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        # Without parameters a percent sign is one.
        cursor.execute(statement, parameters or None)
        return cursor.fetchall()


def by_state(rows: str, *parameters: Any) -> dict[str, Discrepancy]:
    """Of a query of (state, key): how many there are of each state, and the first of them.
    Rows without a state are left out."""
    found = asked(
        f"SELECT state, count(*), (array_agg(key ORDER BY key))[1:{EXAMPLES:d}] "
        f"FROM ({rows}) AS looked_at WHERE state IS NOT NULL GROUP BY state ORDER BY min(key)",
        *parameters,
    )
    return {state: Discrepancy(state, count, examples) for state, count, examples in found}
