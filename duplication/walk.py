"""Walking one level of a tree in bounded chunks, as SQL.

A chunk is the next N rows of a level in the order of (parent's original id, id), below
the parents that are in the id map. It is found by keyset and never reads more than it
returns, however the rows are spread: per parent at most N rows are looked at, through
the index on (parent, id), and the walk stops after N in all. So one item with a million
blocks and a million items with one block each cost the same per chunk.

The same walk serves the copy (below the original parents), and the verification (below
the original parents again, and below the new ones).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from content.links import LINK_MARK
from duplication.levels import Level

Side = Literal["org", "new"]


@dataclass(frozen=True)
class Position:
    """A place in a level: after the row `id` below the original parent `parent`."""

    parent: int = 0
    id: int = 0

    @classmethod
    def of(cls, cursor: list[int] | None) -> Position:
        return cls(*cursor) if cursor else cls()

    def as_cursor(self) -> list[int]:
        return [self.parent, self.id]


def walk_sql(above: Level, level: Level, *, side: Side, columns: str, upper: bool = False) -> str:
    """A SELECT of `parent_org`, `parent_new` and `columns` (over the alias `c`) of one chunk.

    Parameters: duplication, parent, id (the position to start after), high_water, size,
    and with `upper` (the end of a lane, inclusive) upper_parent and upper_id. Below the
    original parents only rows up to the high-water mark belong to the copy.
    """
    parent_upper = "AND org_id <= %(upper_parent)s" if upper else ""
    conditions = [
        f"c.{level.parent_column} = p.{side}_id",
        "c.id > CASE WHEN p.org_id = %(parent)s THEN %(id)s ELSE 0 END",
    ]
    if side == "org":
        conditions.append("c.id <= %(high_water)s")
    if upper:
        conditions.append(
            "c.id <= CASE WHEN p.org_id = %(upper_parent)s THEN %(upper_id)s"
            " ELSE 9223372036854775807 END"
        )
    return f"""
        SELECT p.org_id AS parent_org, p.new_id AS parent_new, c.*
        FROM (
            SELECT org_id, new_id FROM id_map
            WHERE duplication_id = %(duplication)s AND type = '{above.node}'
                AND org_id >= %(parent)s {parent_upper}
            ORDER BY org_id
        ) p
        CROSS JOIN LATERAL (
            SELECT {columns} FROM {level.table} c
            WHERE {" AND ".join(conditions)}
            ORDER BY c.id LIMIT %(size)s
        ) c
        ORDER BY p.org_id, c.id
        LIMIT %(size)s"""


# A walk's order comes from the indexes; a plan that sorts would read the whole level for
# each chunk. While a copy is young the id map has no statistics, and the planner would
# sort what it takes for one row. (An incremental sort, parent by parent, stays allowed.)
# The memory is for the chunk, which is kept once for its insert and its sums.
SESSION = {"enable_sort": "off", "enable_bitmapscan": "off", "jit": "off", "work_mem": "64MB"}


def plan_for_walking(cursor: Any) -> None:
    """Make this transaction's walks go along the indexes. Lasts to the transaction's end."""
    settings = ", ".join("set_config(%s, %s, true)" for _ in SESSION)
    cursor.execute(f"SELECT {settings}", [part for pair in SESSION.items() for part in pair])


def checksum_sql(level: Level, *, parent: str, identity: str, row: str) -> str:
    """A 64-bit hash of what a copy must keep: place, identity and the copied columns.

    `parent` and `identity` are expressions for the original's ids, `row` the alias of a
    row with `columns_sql`. Links are hashed without the id they point to, because a copy's
    links point into the copy. Compared only within one server, so its own hash will do.
    """
    values = [
        f"CASE WHEN {row}.has_link THEN"
        f" regexp_replace({row}.{column}, '(content:[a-z]+/)[0-9]+', '\\1', 'g')"
        f" ELSE {row}.{column} END"
        if column in level.text_fields
        else f"{row}.{column}"
        for column in level.copied
    ]
    return row_hash_sql(parent, identity, *values)


def links_hash_sql(level: Level, *, identity: str, row: str) -> str:
    """A 64-bit hash of the texts that `checksum_sql` hashes without their links' ids, with
    them; 0 for a row without a link. Tells whether the original's own links have changed."""
    texts = [f"{row}.{column}" for column in level.text_fields]
    return f"CASE WHEN {row}.has_link THEN {row_hash_sql(identity, *texts)} ELSE 0 END"


def columns_sql(level: Level, *own: str, instead: Mapping[str, str] | None = None) -> str:
    """What a walk selects for a checksum: `own` columns, the copied ones, and `has_link`,
    which is whether a row's text may hold a link (only such rows are looked at for links).
    `instead` gives copied columns another expression than their own value."""
    columns = [f"c.{column}" for column in own]
    for column in level.copied:
        columns.append(
            f"{instead[column]} AS {column}" if instead and column in instead else f"c.{column}"
        )
    tests = [f"strpos(c.{column}, '{LINK_MARK}') > 0" for column in level.text_fields]
    return ", ".join([*columns, f"coalesce({' OR '.join(tests) or 'false'}, false) AS has_link"])


def row_hash_sql(*values: str) -> str:
    """A 64-bit hash of a tuple that may be summed over rows.

    A record's own hash is a linear combination of its columns': two rows that swap a value
    have the same sum. Hashed once more it isn't; as text, because the hash of a bigint
    folds it to 32 bits first.
    """
    return f"hashtextextended(hash_record_extended(ROW({', '.join(values)}), 0)::text, 0)"


# The position of a chunk's last row: arrays compare element by element.
LAST = "max(ARRAY[parent_org, id])"


def one(cursor: Any, sql: str, parameters: dict[str, Any]) -> tuple[Any, ...]:
    """Execute and return the statement's one row."""
    cursor.execute(sql, parameters)
    row: tuple[Any, ...] = cursor.fetchone()
    return row
