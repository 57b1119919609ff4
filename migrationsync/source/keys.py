"""Whether the keys in a table are what the catalogue doesn't promise them to be: integers of 64
bits, never null and never twice. A view promises nothing, and SQLite little.

Looked for once, before a run: in one pass over a view, in SQLite over a key that isn't the row's
number. While rows are read, `look_at` finds what has come since.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from migrationsync.entities import Entity
from migrationsync.names import quoted, quoted_table
from migrationsync.source.errors import Drift, SchemaDrift
from migrationsync.source.schema import Table

GREATEST = 2**63 - 1

_NULL = "is the key, but null"
_NULL_HINT = "A row without a key can't be mapped: give it one, or declare a view without it."
_TWICE_HINT = (
    "Such rows would overwrite each other: give the view a key that tells them apart, or leave "
    "all but one out."
)
_TYPE_HINT = "Mend it in the source, or declare a view without it."
_GREAT_HINT = (
    f"The mapping holds keys up to {GREATEST:,}: declare a view that has a smaller key for it, or "
    "none of it."
)


def key_drifts(connection: BaseDatabaseWrapper, entity: Entity, table: Table) -> Iterator[Drift]:
    """What is wrong with the keys that are there now. One that `drifts` has nothing against."""

    def drift(problem: str, hint: str) -> Drift:
        return Drift(entity.name, entity.source, entity.key, problem, hint)

    key = quoted(entity.key, connection.vendor)
    rows = f"FROM {quoted_table(table.name, connection.vendor)}"
    if entity.key in table.loose:
        where = f"{rows} WHERE typeof({key}) NOT IN ('integer', 'null') LIMIT 1"
        if found := _asked(connection, f"SELECT quote({key}) {where}"):
            yield drift(f"is the key, but holds {found[0]}: no integer.", _TYPE_HINT)
    if connection.vendor == "mysql" and table.columns[entity.key].declared == "bigint":
        [greatest] = _asked(connection, f"SELECT max({key}) {rows}")
        if greatest is not None and greatest > GREATEST:
            yield drift(f"is the key, but holds {greatest:,}.", _GREAT_HINT)
    if table.is_view:
        distinct = f"count({key})" if entity.key in table.unique else f"count(DISTINCT {key})"
        counts = f"count(*), count({key}), {distinct}"
        all_rows, keys, different = _asked(connection, f"SELECT {counts} {rows}")
        if keys < all_rows:
            yield drift(f"{_NULL} in {all_rows - keys:,} rows.", _NULL_HINT)
        if different < keys:
            [twice] = _asked(
                connection,
                f"SELECT min(k) FROM (SELECT {key} AS k {rows} WHERE {key} IS NOT NULL "
                f"GROUP BY {key} HAVING count(*) > 1) AS several",
            )
            yield drift(_twice(twice), _TWICE_HINT)


def look_at(table: Table, key: str, rows: Sequence[Sequence[Any]]) -> None:
    """Raises SchemaDrift where the keys of rows, which are in their order, can't be gone by."""

    def refuse(problem: str, hint: str) -> None:
        raise SchemaDrift([Drift("", table.name, key, problem, hint)])

    if table.promises(key):
        # MySQL's may be unsigned; in their order, the last is the greatest.
        if rows and rows[-1][0] > GREATEST:
            refuse(f"is the key, but holds {rows[-1][0]:,}.", _GREAT_HINT)
        return
    before = None
    for found, *_ in rows:
        if found is None:
            refuse(f"{_NULL} in some rows.", _NULL_HINT)
        if type(found) is not int:
            refuse(f"is the key, but holds {found!r}: no integer.", _TYPE_HINT)
        if found > GREATEST:
            refuse(f"is the key, but holds {found:,}.", _GREAT_HINT)
        if found == before:
            refuse(_twice(found), _TWICE_HINT)
        before = found


def _twice(key: object) -> str:
    return f"is the key, but {key} is in several rows."


def _asked(connection: BaseDatabaseWrapper, statement: str) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        # Without parameters a percent sign is one.
        cursor.execute(statement)
        return tuple(cursor.fetchone() or ())
