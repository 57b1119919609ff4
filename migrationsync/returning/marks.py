"""What only the legacy system wrote itself: when a row was changed, and that it is deleted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone

from migrationsync.columns import Family, SourceColumn
from migrationsync.converters import DateTime
from migrationsync.entities import Entity
from migrationsync.source import Table

_TIMES = frozenset({Family.DATE, Family.DATETIME, Family.INSTANT})
# What marks a row, and what doesn't where there has to be something.
_FLAGS: dict[Family, tuple[Any, Any]] = {
    Family.BOOLEAN: (True, False),
    Family.INTEGER: (1, 0),
    Family.DECIMAL: (1, 0),
    Family.BINARY: (b"\x01", b"\x00"),
}
MARKS: Collection[Family] = _TIMES | frozenset(_FLAGS)


def read_values(entity: Entity) -> frozenset[str]:
    """The source's columns that the target has a field for."""
    return frozenset(value.source for value in entity.values)


def changed_now(entity: Entity, table: Table, *, always: bool = False) -> dict[str, Any]:
    """The time of the change, for the column that tells it: so other readers of the source see
    the row. Empty where the target's own field says it (but with `always`), or nothing does."""
    name = entity.changed_at
    if not name or (name in read_values(entity) and not always):
        return {}
    column = table.columns[name]
    return {name: _now(entity, column)} if column.family in _TIMES else {}


def deleted_now(entity: Entity, table: Table) -> dict[str, Any]:
    """What marks a row as deleted."""
    column = table.columns[entity.deleted]
    flags = _FLAGS.get(column.family)
    return {entity.deleted: flags[0] if flags else _now(entity, column)}


def not_deleted(entity: Entity, table: Table) -> dict[str, Any]:
    """What says that a row is not deleted, where that isn't the target's to say."""
    if not entity.deleted or entity.deleted in read_values(entity):
        return {}
    column = table.columns[entity.deleted]
    if column.is_nullable:
        return {entity.deleted: None}
    return {entity.deleted: _FLAGS[column.family][1]} if column.family in _FLAGS else {}


def _now(entity: Entity, column: SourceColumn) -> dt.datetime | dt.date:
    now = timezone.now().replace(microsecond=0)
    if column.family is Family.INSTANT:
        return now
    clock = now.astimezone(_zone(entity, column.name)).replace(tzinfo=None)
    return clock.date() if column.family is Family.DATE else clock


def _zone(entity: Entity, name: str) -> ZoneInfo:
    """Where the clock hangs that a column's times are read from: its own, as declared, else the
    one that all of the entity's times have, else UTC."""
    zones = {
        value.source: value.converter.zone
        for value in entity.values
        if isinstance(value.converter, DateTime)
    }
    if name in zones:
        return ZoneInfo(zones[name])
    found = set(zones.values())
    return ZoneInfo(found.pop() if len(found) == 1 else "UTC")
