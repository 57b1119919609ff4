"""One record, field by field: what the source has, what was last synced, what the target has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from migrationsync import last_synced
from migrationsync.entities import Entity, RowError
from migrationsync.entities.declarations import Value
from migrationsync.lookup import uuid_of
from migrationsync.models import LegacyIdMapping
from migrationsync.source import Source, Table


@dataclass(frozen=True)
class Explanation:
    """By the target's fields; foreign keys are UUIDs. None: there is no such row.

    `legacy` is the source's row as it would be migrated; where it can't be, `problems` says why
    and `legacy` has its values as they are, by the source's columns. `last_synced` is None where
    nobody kept it. `differing` are the fields in which `legacy` and `current` aren't alike.
    """

    legacy_id: int | None
    uuid: UUID | None
    legacy: Mapping[str, Any] | None
    last_synced: Mapping[str, Any] | None
    current: Mapping[str, Any] | None
    differing: tuple[str, ...]
    problems: tuple[str, ...] = ()


def explain(entity: Entity, source: Source, table: Table, key: int | UUID) -> Explanation:
    """`table` is the entity's, checked. A row that only the target has is asked for by its UUID.

    Raises SourceUnreachable. A handful of statements; writes nothing.
    """
    if isinstance(key, UUID):
        return Explanation(None, key, None, None, _current(entity, key), ())
    mapping = LegacyIdMapping.objects.filter(entity_type=entity.name, legacy_id=key).first()
    uuid = mapping.uuid_id if mapping else None
    current = _current(entity, uuid) if uuid else None
    before = _last_synced(entity, mapping) if mapping else None
    legacy, problems = _legacy(entity, source, table, key)
    differing: tuple[str, ...] = ()
    if legacy is not None and current is not None and not problems:
        differing = tuple(
            value.field
            for value in entity.values
            if _text(entity, value, legacy[value.field])
            != _text(entity, value, current[value.field])
        )
    return Explanation(key, uuid, legacy, before, current, differing, problems)


def _legacy(
    entity: Entity, source: Source, table: Table, legacy_id: int
) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
    batch = source.read(table, entity.reads, after=legacy_id - 1, until=legacy_id, limit=1)
    if batch is None:
        return None, ()
    [row] = batch.rows
    try:
        converted = entity.convert(row)
    except RowError as error:
        return dict(zip(entity.reads, row, strict=True)), tuple(map(str, error.errors))
    values = dict(zip(entity.columns, converted[1:], strict=True))
    problems = []
    for name, foreign_key in entity.foreign_keys.items():
        if values[name] is None:
            continue
        uuid = uuid_of(foreign_key.entity, values[name])
        if uuid is None:
            problems.append(
                f"{foreign_key.source}: {values[name]} isn't among the migrated "
                f"{foreign_key.entity}"
            )
        values[name] = uuid
    return values, tuple(problems)


def _last_synced(entity: Entity, mapping: LegacyIdMapping) -> dict[str, Any] | None:
    found = last_synced.values(entity, mapping.last_synced)
    if found is None:
        return None
    return {
        name: uuid_of(entity.foreign_keys[name].entity, value)
        if name in entity.foreign_keys and value is not None
        else value
        for name, value in found.items()
    }


def _current(entity: Entity, uuid: UUID) -> dict[str, Any] | None:
    fields = [entity.target._meta.get_field(name) for name in entity.columns]
    # A foreign key's column, not the row behind it.
    columns = [str(getattr(field, "attname", field.name)) for field in fields]
    row = entity.target._base_manager.filter(pk=uuid).values_list(*columns).first()
    return None if row is None else dict(zip(entity.columns, row, strict=True))


def _text(entity: Entity, value: Value, found: Any) -> str | None:
    if value.field in entity.foreign_keys:
        return None if found is None else str(found)
    return value.converter.normal(found) if found is not None else None
