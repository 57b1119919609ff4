"""Whether each migrated row points where its legacy row does, and keeps the entity's checks.

A foreign key is right where the row it points to is the one that the mapping has for the legacy
row's foreign key. What a row of the source that is gone or marked as deleted pointed to isn't
known: of its row in the target only is asked whether it points to one that is there. Where a
person kept the target's own foreign key, it is told all the same: the two point elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from django.db import connection

from migrationsync.comparing import Cursor
from migrationsync.converters import ConversionError
from migrationsync.converters.base import literal
from migrationsync.entities import Check
from migrationsync.entities.declarations import Value
from migrationsync.models import LegacyIdMapping, MigrationValidationReport
from migrationsync.validating.base import Discrepancy, Looked, Validation
from migrationsync.validating.segments import (
    MAPPINGS,
    Segment,
    asked,
    by_state,
    looked_up,
    mapped,
    next_segment,
    target_of,
)

_NO_ROW = "mapped, but the row is gone from the target"
# The states of a foreign key that are wrong, in words: {field}, {entity}, {column}.
WRONG = {
    "dangling": "{field} points to a row that isn't there",
    "unreadable": "{field} can't be held against the source: {column} isn't a key there",
    "unmapped": "{field}: the source's {column} is of {entity} that weren't migrated",
    "of_none": "{field} points to {entity} that are from no row of the source",
    "elsewhere": "{field} doesn't point where the source's {column} does",
}


class RelationshipIntegrity(Validation):
    type: ClassVar[str] = MigrationValidationReport.Type.RELATIONSHIP_INTEGRITY

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._keys = tuple(
            value for value in self.entity.values if value.field in self.entity.foreign_keys
        )

    @property
    def criteria(self) -> dict[str, Any]:
        keys = self.entity.foreign_keys
        return {
            "foreign_keys": {
                name: {"entity": column.entity, "column": column.source}
                for name, column in keys.items()
            },
            "checks": [check.name for check in self.entity.checks if check.sql is not None],
        }

    def read(self, cursor: Cursor | None, size: int) -> Segment | None:
        return next_segment(
            self.entity,
            self.source,
            self.table,
            [value.source for value in self._keys],
            after=cursor["after"] if cursor else None,
            size=size,
        )

    def look(self, read: Segment | None) -> Looked:
        if read is None:
            return Looked(0, [], None)
        [(records,)] = asked(f"SELECT count(*) FROM {MAPPINGS} m WHERE {mapped(self.entity, read)}")
        return Looked(
            records,
            [*self._rows(read), *self._foreign_keys(read), *self._checks(read)],
            None if read.is_last else {"after": read.last},
        )

    def _rows(self, segment: Segment) -> Iterator[Discrepancy]:
        found = by_state(f"""
            SELECT m.legacy_id AS key, 'gone' AS state FROM {MAPPINGS} m
            {target_of(self.entity, "m.uuid_id")}
            WHERE {mapped(self.entity, segment)} AND t.key_ IS NULL
            AND m.target_checksum <> {literal(LegacyIdMapping.GONE)}""")
        yield from (replace(each, what=_NO_ROW) for each in found.values())

    def _foreign_keys(self, segment: Segment) -> Iterator[Discrepancy]:
        alive = [row for row in segment.rows if not row.is_deleted]
        for place, value in enumerate(self._keys):
            parent = self.entity.foreign_keys[value.field]
            points_to = [_key(value, row.values[place]) for row in alive]
            found = by_state(
                self._states(segment, value),
                [row.key for row in alive],
                [key for key, _ in points_to],
                [is_readable for _, is_readable in points_to],
            )
            for state, what in WRONG.items():
                if state in found:
                    words = what.format(
                        field=value.field, column=value.source, entity=parent.entity
                    )
                    yield replace(found[state], what=words)

    def _states(self, segment: Segment, value: Value) -> str:
        """(state, key) of each row of the target by one of its foreign keys."""
        quote = connection.ops.quote_name
        field: Any = self.entity.target._meta.get_field(value.field)
        parent = field.related_model._meta
        name = literal(self.entity.foreign_keys[value.field].entity)
        points_to = f"t.{quote(field.column)}"
        there = f"SELECT 1 AS is_so FROM {quote(parent.db_table)}"
        of = f"SELECT 1 AS is_so FROM {MAPPINGS} WHERE entity_type = {name}"
        should = f"SELECT uuid_id FROM {MAPPINGS} WHERE entity_type = {name}"
        return f"""
            SELECT m.legacy_id AS key, CASE
                WHEN {points_to} IS NOT NULL AND row_there.is_so IS NULL THEN 'dangling'
                WHEN s.key IS NULL THEN NULL
                WHEN NOT s.is_readable THEN 'unreadable'
                WHEN s.points_to IS NOT NULL AND should.uuid_id IS NULL THEN 'unmapped'
                WHEN {points_to} IS NOT DISTINCT FROM should.uuid_id THEN NULL
                WHEN {points_to} IS NOT NULL AND parents.is_so IS NULL THEN 'of_none'
                ELSE 'elsewhere' END AS state
            FROM {MAPPINGS} m
            LEFT JOIN unnest(%s::bigint[], %s::bigint[], %s::boolean[])
                AS s (key, points_to, is_readable) ON s.key = m.legacy_id
            {target_of(self.entity, "m.uuid_id")}
            {looked_up("row_there", f"{there} WHERE {quote(parent.pk.column)} = {points_to}")}
            {looked_up("should", f"{should} AND legacy_id = s.points_to")}
            {looked_up("parents", f"{of} AND uuid_id = {points_to}")}
            WHERE {mapped(self.entity, segment)} AND t.key_ IS NOT NULL"""

    def _checks(self, segment: Segment) -> Iterator[Discrepancy]:
        for check in self.entity.checks:
            if check.sql is not None:
                found = by_state(self._failing(segment, check))
                what = f"it isn't true that it {check.name}"
                yield from (replace(each, what=what) for each in found.values())

    def _failing(self, segment: Segment, check: Check) -> str:
        """(state, key) of the target's rows that don't keep the check, which sees the fields as
        columns, foreign keys as legacy keys."""
        quote = connection.ops.quote_name
        columns = []
        for name in self.entity.columns:
            field: Any = self.entity.target._meta.get_field(name)
            column = f"t.{quote(field.column)}"
            if name in self.entity.foreign_keys:
                parent = literal(self.entity.foreign_keys[name].entity)
                column = (
                    f"(SELECT p.legacy_id FROM {MAPPINGS} p WHERE p.entity_type = {parent} "
                    f"AND p.uuid_id = {column})"
                )
            columns.append(f"{column} AS {quote(name)}")
        return f"""
            SELECT key_ AS key, 'failing' AS state FROM (
                SELECT m.legacy_id AS key_, {", ".join(columns)}
                FROM {MAPPINGS} m {target_of(self.entity, "m.uuid_id")}
                WHERE {mapped(self.entity, segment)} AND t.key_ IS NOT NULL OFFSET 0
            ) AS rows_ WHERE ({check.sql}) IS NOT TRUE"""


def _key(value: Value, found: Any) -> tuple[int | None, bool]:
    """The legacy key that the source's row points to, and whether it can be read."""
    try:
        key: int | None = value.convert(found)
    except ConversionError:
        return None, False
    # A text may hold more than the mapping does.
    is_readable = key is None or -(2**63) <= key < 2**63
    return key if is_readable else None, is_readable
