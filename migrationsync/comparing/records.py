"""Single records compared as they are now: before something is done about them, and after."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar
from uuid import UUID

from django.db import connection

from migrationsync.checksums import target_sql
from migrationsync.comparing.differential import of_mapped
from migrationsync.comparing.results import Difference
from migrationsync.comparing.sides import Ranges, SourceSide, StoredSide
from migrationsync.differences import Kind
from migrationsync.entities import Entity
from migrationsync.models import LegacyIdMapping
from migrationsync.names import quoted
from migrationsync.source import Source, Table

# A record: by its legacy id or, where it has none, by its UUID.
Key = int | UUID
KeyT = TypeVar("KeyT", int, UUID)

# Keys that are asked for in one statement.
CHUNK = 500
_MAPPING = LegacyIdMapping._meta.db_table


def compare_records(
    entity: Entity,
    source: Source,
    table: Table,
    *,
    legacy_ids: Iterable[int] = (),
    uuids: Iterable[UUID] = (),
) -> dict[Key, Difference]:
    """How these records differ now, by the keys that were asked; those that don't aren't in it.

    A row that was asked for by its UUID and was mapped since is compared by its legacy id. Raises
    SourceUnreachable; writes nothing.
    """
    asked: dict[int, list[Key]] = {}
    for legacy_id in legacy_ids:
        asked.setdefault(legacy_id, []).append(legacy_id)
    found: dict[Key, Difference] = {}
    for chunk in _chunks(list(uuids)):
        mapped = dict(
            LegacyIdMapping.objects.filter(entity_type=entity.name, uuid_id__in=chunk).values_list(
                "uuid_id", "legacy_id"
            )
        )
        for uuid, legacy_id in mapped.items():
            asked.setdefault(legacy_id, []).append(uuid)
        unmapped = [uuid for uuid in chunk if uuid not in mapped]
        there = entity.target._base_manager.filter(pk__in=unmapped).values_list("pk", flat=True)
        found |= {uuid: Difference(Kind.EXTRA, None, uuid) for uuid in there}
    side, stored = SourceSide(entity, source, table), StoredSide(entity)
    for keys in _chunks(sorted(asked)):
        for difference in _compared(side, stored, keys):
            assert difference.legacy_id is not None  # noqa: S101 - it was asked for by it
            found |= dict.fromkeys(asked[difference.legacy_id], difference)
    return found


def token_of(entity: Entity, source: Source, table: Table, key: Key) -> str:
    """Stands for the record as it is: another one once either side's row or the mapping changed.

    Raises SourceUnreachable.
    """
    legacy_id = key
    if isinstance(key, UUID):
        mapped = LegacyIdMapping.objects.filter(entity_type=entity.name, uuid_id=key)
        found = mapped.values_list("legacy_id", flat=True).first()
        legacy_id = key if found is None else found
    checksums = source_checksums(entity, source, table, [legacy_id])
    state = states(entity, [key]).get(key, "")
    text = f"{checksums.get(legacy_id, '')}/{state}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def source_checksums(
    entity: Entity, source: Source, table: Table, keys: Iterable[Key]
) -> dict[Key, str]:
    """The checksums of the source's rows that are there and not marked as deleted."""
    side = SourceSide(entity, source, table)
    found: dict[Key, str] = {}
    for chunk in _chunks(sorted(key for key in keys if isinstance(key, int))):
        found.update(side.checksums(_ranges(chunk)).items())
    return found


def state_sql(entity: Entity, mapping: str = "m.", target: str = "t.") -> str:
    """What the mapping says and the target has, as one text that changes when either does.

    Its parts, by slashes: the mapping's two checksums (empty: no mapping), and that of the
    target's row (“gone”: there is none).
    """
    pk = entity.target._meta.pk
    key = target + quoted(str(pk and pk.column), "postgresql")
    return (
        f"coalesce({mapping}checksum || '/' || {mapping}target_checksum, '/') || '/' || "
        f"CASE WHEN {key} IS NULL THEN '{LegacyIdMapping.GONE}' "
        f"ELSE {target_sql(entity, target)} END"
    )


def states(entity: Entity, keys: Sequence[Key]) -> dict[Key, str]:
    """`state_sql` of each record that is mapped or, asked for by its UUID, in the target."""
    pk = entity.target._meta.pk
    table = connection.ops.quote_name(entity.target._meta.db_table)
    key = "t." + connection.ops.quote_name(str(pk and pk.column))
    state = state_sql(entity).replace("%", "%%")
    found: dict[Key, str] = {}
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT m.legacy_id, {state} FROM {_MAPPING} m LEFT JOIN {table} t "
            f"ON {key} = m.uuid_id WHERE m.entity_type = %s AND m.legacy_id = ANY(%s)",
            [entity.name, [each for each in keys if isinstance(each, int)]],
        )
        found |= dict(cursor.fetchall())
        cursor.execute(
            f"SELECT {key}, {state} FROM {table} t LEFT JOIN {_MAPPING} m "
            f"ON m.entity_type = %s AND m.uuid_id = {key} WHERE {key} = ANY(%s)",
            [entity.name, [each for each in keys if isinstance(each, UUID)]],
        )
        found |= dict(cursor.fetchall())
    return found


def _compared(side: SourceSide, stored: StoredSide, keys: list[int]) -> Iterator[Difference]:
    now, mapped = side.checksums(_ranges(keys)), stored.mapped(keys)
    unmapped = [key for key in keys if key in now and key not in mapped]
    quarantined = stored.quarantined(unmapped) if unmapped else set()
    for key in keys:
        if before := mapped.get(key):
            if difference := of_mapped(key, now.get(key), before):
                yield difference
        elif key in now:
            yield Difference(Kind.QUARANTINED if key in quarantined else Kind.MISSING, key)


def _ranges(keys: Sequence[int]) -> Ranges:
    """Sorted keys as ranges: neighbours are one."""
    ranges: list[tuple[int, int]] = []
    for key in keys:
        if ranges and ranges[-1][1] == key - 1:
            ranges[-1] = (ranges[-1][0], key)
        else:
            ranges.append((key, key))
    return ranges


def _chunks(items: list[KeyT]) -> Iterator[list[KeyT]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))
