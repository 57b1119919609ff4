"""Whether each migrated record is on both sides as it was when they were last made alike.

The mapping's `validation_status` says so for each record from then on, until it is loaded anew.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from django.db import connection

from migrationsync.comparing import Cursor, Difference, Differential, Kind
from migrationsync.comparing import Segment as ComparedSegment
from migrationsync.models import DataDifferential, LegacyIdMapping, MigrationValidationReport
from migrationsync.validating.base import EXAMPLES, Discrepancy, Looked, Validation
from migrationsync.validating.segments import MAPPINGS, asked

# What isn't mapped isn't compared: whether it should be is the completeness check's.
KINDS = tuple(kind for kind in Kind if kind not in (Kind.MISSING, Kind.QUARANTINED, Kind.EXTRA))

_Status = LegacyIdMapping.ValidationStatus
_WITHIN = (
    "entity_type = %s AND (%s::bigint IS NULL OR legacy_id > %s) "
    "AND (%s::bigint IS NULL OR legacy_id <= %s)"
)
# A row whose status is right isn't written. One that was made alike after the comparison began
# wasn't looked at.
_MARK = f"""
UPDATE {MAPPINGS} SET validation_status = to_be
FROM (
    SELECT id AS row_id, CASE WHEN legacy_id = ANY(%s) THEN '{_Status.ERROR}'
        ELSE '{_Status.VALIDATED}' END AS to_be
    FROM {MAPPINGS} WHERE {_WITHIN} AND migration_timestamp < %s
) AS judged
WHERE id = row_id AND validation_status <> to_be"""


class Compared(NamedTuple):
    """A segment as it was compared, and when that began by the target's clock."""

    after: int | None
    segment: ComparedSegment
    began_at: dt.datetime


class DataIntegrity(Validation):
    type: ClassVar[str] = MigrationValidationReport.Type.DATA_INTEGRITY

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._differential = Differential(self.entity, self.source)

    def close(self) -> None:
        self._differential.close()

    @property
    def criteria(self) -> dict[str, Any]:
        columns = {value.field: value.source for value in self.entity.values}
        return {**self._differential.criteria, "columns": columns, "kinds": list(KINDS)}

    def read(self, cursor: Cursor | None, size: int) -> Compared:
        [(began_at,)] = asked("SELECT clock_timestamp()")
        segment = self._differential.next_segment(cursor, size=size)
        return Compared(cursor["after"] if cursor else None, segment, began_at)

    def look(self, read: Compared) -> Looked:
        """Sets the segment's mappings to validated or error, in the caller's transaction."""
        after, segment, began_at = read
        going_on = segment.cursor if segment.cursor and "after" in segment.cursor else None
        until = going_on["after"] if going_on else None
        within = [self.entity.name, after, after, until, until]
        [(records,)] = asked(f"SELECT count(*) FROM {MAPPINGS} WHERE {_WITHIN}", *within)
        differing = [each for each in segment.differences if each.kind in KINDS]
        marked = mark([each.legacy_id for each in differing], within, began_at)
        return Looked(records, _wrong(differing), going_on, {"statuses_changed": marked})


def mark(wrong: Sequence[int | None], within: Sequence[Any], began_at: dt.datetime) -> int:
    """How many mappings have another status now."""
    with connection.cursor() as cursor:
        cursor.execute(_MARK, [list(wrong), *within, began_at])
        return int(cursor.rowcount)


def _wrong(differing: Sequence[Difference]) -> list[Discrepancy]:
    found = []
    for kind in KINDS:
        ids = [
            each.legacy_id for each in differing if each.kind is kind and each.legacy_id is not None
        ]
        if ids:
            what = DataDifferential.DifferenceKind(kind).label.lower()
            found.append(Discrepancy(what, len(ids), ids[:EXAMPLES]))
    return found
