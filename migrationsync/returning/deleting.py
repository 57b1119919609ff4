"""Rows that the target deleted: deleted in the source too, or marked as such where it does so."""

from __future__ import annotations

from collections.abc import Sequence

from migrationsync.converters import ConversionError
from migrationsync.entities import Entity
from migrationsync.entities.declarations import Value
from migrationsync.models import LegacyIdMapping
from migrationsync.returning import marks
from migrationsync.returning.inserting import parents_first
from migrationsync.returning.keeping import keep
from migrationsync.returning.results import Returned, as_json
from migrationsync.returning.rows import NotReturnable, SourceRow, chunks, source_rows
from migrationsync.returning.updating import STALE
from migrationsync.source import Source, Table
from migrationsync.source.writing import RowRefused, Writer, writing


def delete_back(
    entity: Entity, source: Source, table: Table, legacy_ids: Sequence[int]
) -> list[Returned]:
    """Deletes these rows of the source; one answer for each, in their order, with GONE as its
    checksum.

    Where the entity declares `deleted`, rows are marked and stay. A row that changed in the source
    since the two were last alike is refused as stale, one that others point to with the source's
    own words. Children go before their parents. Commits on the source, a transaction for each few
    hundred rows. Idempotent. Raises SourceUnreachable, MayNotWrite.
    """
    return _deleted(entity, source, table, legacy_ids, is_forced=False)


def delete_back_forced(
    entity: Entity, source: Source, table: Table, legacy_ids: Sequence[int]
) -> list[Returned]:
    """As `delete_back`, over what changed in the source."""
    return _deleted(entity, source, table, legacy_ids, is_forced=True)


def _deleted(
    entity: Entity, source: Source, table: Table, legacy_ids: Sequence[int], *, is_forced: bool
) -> list[Returned]:
    found: dict[int, Returned] = {}
    for chunk in chunks(_in_order(entity, source, table, legacy_ids)):
        mapped = {
            mapping.legacy_id: mapping
            for mapping in LegacyIdMapping.objects.filter(
                entity_type=entity.name, legacy_id__in=chunk
            )
        }
        with writing(source, entity, table) as writer:
            rows = source_rows(entity, writer, table, chunk)
            for key in chunk:
                found[key] = _one(
                    entity, table, writer, key, mapped.get(key), rows.get(key), is_forced
                )
            keep(entity, (found[key] for key in chunk))
    return [found[key] for key in legacy_ids]


def _in_order(entity: Entity, source: Source, table: Table, legacy_ids: Sequence[int]) -> list[int]:
    """The keys in their order; of a tree from its leaves up, as the source has it now."""
    ordered = sorted(set(legacy_ids))
    if entity.deleted or not entity.own_keys:
        return ordered
    keys = [value for value in entity.values if value.field in entity.own_keys]
    parents: dict[int, list[int | None]] = {}
    for chunk in chunks(ordered):
        rows = source_rows(entity, source, table, chunk)
        parents |= {key: [_parent(each, row) for each in keys] for key, row in rows.items()}
    return parents_first(ordered, parents)[::-1]


def _parent(value: Value, row: SourceRow) -> int | None:
    try:
        return value.convert(row.values[value.source])
    except ConversionError:
        return None


def _one(
    entity: Entity,
    table: Table,
    writer: Writer,
    key: int,
    mapping: LegacyIdMapping | None,
    row: SourceRow | None,
    is_forced: bool,
) -> Returned:
    uuid = mapping.uuid_id if mapping else None
    if row is None or row.is_deleted:
        there = as_json(row.values) if row else None
        return Returned(uuid, key, LegacyIdMapping.GONE, before=there, after=there)
    if mapping is None:
        return Returned(uuid, key, None, problem="was never migrated")
    if not is_forced and row.checksum != mapping.checksum:
        return Returned(uuid, key, None, problem=STALE)
    try:
        after = _gone(entity, table, writer, row)
    except (NotReturnable, RowRefused) as refusal:
        return Returned(uuid, key, None, problem=str(refusal))
    return Returned(
        uuid,
        key,
        LegacyIdMapping.GONE,
        before=as_json(row.values),
        after=as_json(after.values) if after else None,
    )


def _gone(entity: Entity, table: Table, writer: Writer, row: SourceRow) -> SourceRow | None:
    """The row as it stays, marked; None where it doesn't."""
    if entity.deleted:
        return _marked(entity, table, writer, row)
    with writer.attempt():
        if not writer.delete(row.key, row.checksum):
            raise NotReturnable(STALE)
    return None


def _marked(entity: Entity, table: Table, writer: Writer, row: SourceRow) -> SourceRow:
    values = {
        **marks.changed_now(entity, table, always=True),
        **marks.deleted_now(entity, table),
    }
    with writer.attempt():
        if not writer.update(row.key, values, row.checksum):
            raise NotReturnable(STALE)
        now = source_rows(entity, writer, table, [row.key])[row.key]
        if not now.is_deleted:
            raise NotReturnable(f"the source doesn't keep the mark in {entity.deleted}")
        return now
