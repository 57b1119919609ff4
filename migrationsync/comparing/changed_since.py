"""The differential of what the source changed since a moment, by its own column of times.

Reads only those rows, by the column's index, so it is quick, and blind where the column is: to
rows that are gone, to what only the target changed, and to a row that was changed without its
time. A row that is marked as deleted is seen.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from migrationsync.columns import Family, SourceColumn
from migrationsync.comparing.differential import SEGMENT_ROWS, of_mapped
from migrationsync.comparing.results import Cursor, Difference, Segment
from migrationsync.comparing.sides import SourceSide, StoredSide
from migrationsync.converters import DateTime
from migrationsync.differences import Kind
from migrationsync.entities import Entity
from migrationsync.models import LegacyIdMapping
from migrationsync.source import Source

# No clock is further behind UTC than this, and none is ever set back by as much as the other.
FURTHEST_BEHIND = dt.timedelta(hours=12)
SET_BACK_WITHIN = dt.timedelta(hours=3)


class NoTimes(Exception):
    """The entity has no column that tells when a row was changed, or it holds no times."""


class ChangedSince:
    """Compares the rows that were changed at `since` or later. Rather a few more: where the
    source's clock was set back, or its zone isn't declared, from a little before.

    Raises NoTimes, SchemaDrift; every segment SourceUnreachable.
    """

    def __init__(self, entity: Entity, source: Source, since: dt.datetime) -> None:
        if not entity.changed_at:
            raise NoTimes(f"{entity} names no changed_at: only a full comparison sees changes.")
        table = source.check([entity])[entity.name]
        self.entity = entity
        self._since = bound(since, table.columns[entity.changed_at], zone(entity), source.vendor)
        self._source = SourceSide(entity, source, table)
        self._stored = StoredSide(entity)
        self.criteria: dict[str, Any] = {
            "compared_by": "timestamp",
            "column": entity.changed_at,
            "since": since.isoformat(),
            "sees_deleted": False,
        }

    def segments(
        self, cursor: Cursor | None = None, *, size: int = SEGMENT_ROWS
    ) -> Iterator[Segment]:
        """Every segment from `cursor` to the end."""
        while True:
            segment = self.next_segment(cursor, size=size)
            yield segment
            cursor = segment.cursor
            if cursor is None:
                return

    def next_segment(self, cursor: Cursor | None, *, size: int = SEGMENT_ROWS) -> Segment:
        """The next `size` rows behind `cursor`, in the order of their times. Writes nothing."""
        after = (cursor["at"], cursor["key"]) if cursor else None
        rows = self._source.changed(self.entity.changed_at, self._since, after, size)
        checksums = {key: checksum for key, checksum, _ in rows}
        mapped = self._stored.mapped(list(checksums))
        unmapped = [key for key, live in checksums.items() if key not in mapped and live]
        quarantined = self._stored.quarantined(unmapped) if unmapped else set()
        differences = []
        for key, checksum in checksums.items():
            before = mapped.get(key)
            if before is None:
                if checksum is not None:
                    kind = Kind.QUARANTINED if key in quarantined else Kind.MISSING
                    differences.append(Difference(kind, key))
            elif (checksum or LegacyIdMapping.GONE) != before.stored.checksum:
                # What only the target changed isn't looked for, so isn't told either.
                differences += filter(None, [of_mapped(key, checksum, before)])
        is_last = len(rows) < size
        going_on = None if is_last else {"at": rows[-1][2], "key": rows[-1][0]}
        return Segment(differences, len(rows), going_on)


def zone(entity: Entity) -> ZoneInfo | None:
    """Where the clock hangs that `changed_at` was read from, if a column says so."""
    for value in entity.values:
        if value.source == entity.changed_at and isinstance(value.converter, DateTime):
            return ZoneInfo(value.converter.zone)
    return None


def bound(since: dt.datetime, column: SourceColumn, zone: ZoneInfo | None, vendor: str) -> str:
    """The least value that a row changed at `since` or later can have, as the source writes it.

    Whole seconds, rounded down: many columns hold no more. Raises NoTimes.
    """
    moment = since.astimezone(dt.UTC)
    if column.family is Family.INSTANT:
        # On MySQL the session is in UTC.
        return f"{moment:%Y-%m-%d %H:%M:%S}" + ("" if vendor == "mysql" else "+00")
    if column.family not in (Family.DATETIME, Family.DATE):
        raise NoTimes(f"The column “{column.name}” is of type {column.declared}: no time.")
    if zone is None:
        clock = moment - FURTHEST_BEHIND
    else:
        clock = since.astimezone(zone)
        later = (moment + SET_BACK_WITHIN).astimezone(zone)
        set_back = (clock.utcoffset() or dt.timedelta()) - (later.utcoffset() or dt.timedelta())
        clock = clock.replace(tzinfo=None) - max(set_back, dt.timedelta())
    return f"{clock:%Y-%m-%d}" if column.family is Family.DATE else f"{clock:%Y-%m-%d %H:%M:%S}"
