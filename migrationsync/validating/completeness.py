"""Whether each row of the source is in the target, and the target has no other.

Row by row within each segment, so that what is missing isn't made up for by what is too much. A
record is in exactly one state, so the figures add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from migrationsync.comparing import Cursor
from migrationsync.comparing.sides import StoredSide
from migrationsync.converters.base import literal
from migrationsync.models import LegacyIdMapping, MigrationValidationReport, QuarantinedRow
from migrationsync.validating.base import EXAMPLES, Discrepancy, Looked, Validation
from migrationsync.validating.segments import (
    MAPPINGS,
    Segment,
    by_state,
    mapped,
    next_segment,
    target_of,
)

_QUARANTINE = QuarantinedRow._meta.db_table
_GONE = literal(LegacyIdMapping.GONE)

# The states of a record that are wrong, in words.
WRONG = {
    "missing": "missing: in the source, but never migrated",
    "quarantined": "in quarantine: refused, so not migrated",
    "lost": "migrated once, but no longer in the target",
    "surplus": "in the target, but gone from the source or marked as deleted there",
    "left_over": "in neither: only the mapping is left",
    "extra": "in the target, but from no row of the source",
}
# Those that are right: on both sides; on one or none, which a person accepted; and rows marked as
# deleted that were never migrated.
RIGHT = ("complete", "kept_in_source", "kept_in_target", "ended", "deleted")
# What each side has, by the states of its records.
SIDES = {
    "source_alive": ("complete", "lost", "missing", "quarantined", "kept_in_source"),
    "mapped": (
        "complete",
        "lost",
        "surplus",
        "left_over",
        "kept_in_source",
        "kept_in_target",
        "ended",
    ),
    "in_target": ("complete", "surplus", "kept_in_target", "extra"),
}


class Completeness(Validation):
    type: ClassVar[str] = MigrationValidationReport.Type.COMPLETENESS_CHECK

    @property
    def criteria(self) -> dict[str, Any]:
        return {"compared_by": "key", "deleted": self.entity.deleted, "wrong": WRONG}

    def read(self, cursor: Cursor | None, size: int) -> tuple[Cursor | None, int, Segment | None]:
        if cursor is not None and "extra_after" in cursor:
            return cursor, size, None
        after = cursor["after"] if cursor else None
        segment = next_segment(self.entity, self.source, self.table, (), after=after, size=size)
        return cursor, size, segment

    def look(self, read: tuple[Cursor | None, int, Segment | None]) -> Looked:
        cursor, size, segment = read
        if cursor is not None and "extra_after" in cursor:
            return self._extras(cursor["extra_after"], size)
        if segment is None:
            return Looked(0, [], {"extra_after": None})
        states = by_state(
            self._states(segment),
            [row.key for row in segment.rows],
            [row.is_deleted for row in segment.rows],
        )
        return Looked(
            records=sum(found.count for found in states.values()),
            wrong=[replace(states[each], what=WRONG[each]) for each in WRONG if each in states],
            cursor={"extra_after": None} if segment.is_last else {"after": segment.last},
            figures=figures(
                {state: found.count for state, found in states.items()},
                source_deleted=sum(row.is_deleted for row in segment.rows),
            ),
        )

    def _extras(self, after: str | None, size: int) -> Looked:
        found, _, last = StoredSide(self.entity).extras(after, size)
        examples = [str(uuid) for uuid in found[:EXAMPLES]]
        return Looked(
            records=len(found),
            wrong=[Discrepancy(WRONG["extra"], len(found), examples)] if found else [],
            cursor=None if last is None else {"extra_after": last},
            figures=figures({"extra": len(found)}),
        )

    def _states(self, segment: Segment) -> str:
        """(state, key) of each record of the segment that either side has, or had."""
        name = literal(self.entity.name)
        return f"""
            SELECT coalesce(s.key, m.legacy_id) AS key, CASE
                WHEN m.legacy_id IS NULL THEN CASE
                    WHEN s.is_deleted THEN 'deleted'
                    WHEN EXISTS (
                        SELECT FROM {_QUARANTINE} q WHERE q.entity_type = {name}
                        AND q.legacy_id = s.key AND q.resolved_at IS NULL
                    ) THEN 'quarantined'
                    ELSE 'missing' END
                WHEN NOT s.is_deleted THEN CASE
                    WHEN t.key_ IS NOT NULL THEN 'complete'
                    WHEN m.target_checksum = {_GONE} THEN 'kept_in_source'
                    ELSE 'lost' END
                WHEN t.key_ IS NOT NULL THEN CASE
                    WHEN m.checksum = {_GONE} THEN 'kept_in_target'
                    ELSE 'surplus' END
                WHEN m.checksum = {_GONE} AND m.target_checksum = {_GONE} THEN 'ended'
                ELSE 'left_over' END AS state
            FROM unnest(%s::bigint[], %s::boolean[]) AS s (key, is_deleted)
            FULL JOIN (SELECT * FROM {MAPPINGS} m WHERE {mapped(self.entity, segment)}) m
                ON m.legacy_id = s.key
            {target_of(self.entity, "m.uuid_id")}"""


def figures(states: Mapping[str, int], *, source_deleted: int = 0) -> dict[str, int]:
    """How many records are in each state, and what that makes for each side. Of the rows that
    the source has marked as deleted some were migrated before."""
    found = {state: states.get(state, 0) for state in (*WRONG, *RIGHT)}
    sides = {side: sum(found[each] for each in made_of) for side, made_of in SIDES.items()}
    return {**sides, "source_deleted": source_deleted, **found}
