"""A record's two rows as they are now, and what it takes to make the source's like the target's.

Owns what is read and compared. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models.expressions import RawSQL

from migrationsync.checksums import quoted, source_sql, target_sql
from migrationsync.converters import ConversionError
from migrationsync.deleted import deleted_sql
from migrationsync.entities import Entity
from migrationsync.entities.declarations import Value
from migrationsync.models import LegacyIdMapping
from migrationsync.source import Source, Table

# Records that are given back in one transaction of the source.
CHUNK = 500
# Of each record: by the target's field what stands in its way.
Problems = dict[UUID, dict[str, str]]


class NotReturnable(Exception):
    """A record that can't be given back as it is; the message says why."""


@dataclass(frozen=True)
class TargetRow:
    """`values` by the target's fields, foreign keys as legacy keys. `legacy_id` and `stored` (the
    source's checksum) are the mapping's, None where there is none. `problems` say, by field, what
    has no legacy key yet."""

    uuid: UUID
    legacy_id: int | None
    stored: str | None
    checksum: str
    values: Mapping[str, Any]
    problems: Mapping[str, str]


@dataclass(frozen=True)
class SourceRow:
    """`values` by the declared columns, the key first."""

    key: int
    values: Mapping[str, Any]
    checksum: str
    is_deleted: bool


def chunks(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[begin : begin + CHUNK] for begin in range(0, len(items), CHUNK))


def target_rows(entity: Entity, uuids: Sequence[UUID]) -> dict[UUID, TargetRow]:
    """Those of them that are there. One statement for the rows, so that each is of one moment."""
    options = entity.target._meta
    fields = [options.get_field(name) for name in entity.columns]
    columns = [str(getattr(field, "attname", field.name)) for field in fields]
    found = (
        entity.target._base_manager.filter(pk__in=uuids)
        .annotate(checksum_=_checksum(entity))
        .values_list("pk", "checksum_", *columns)
    )
    rows = {
        uuid: (checksum, dict(zip(entity.columns, values, strict=True)))
        for uuid, checksum, *values in found
    }
    mapped: dict[UUID, tuple[int | None, str | None]] = {
        uuid: (legacy_id, checksum)
        for uuid, legacy_id, checksum in LegacyIdMapping.objects.filter(
            entity_type=entity.name, uuid_id__in=list(rows)
        ).values_list("uuid_id", "legacy_id", "checksum")
    }
    problems = _with_legacy_keys(entity, {uuid: values for uuid, (_, values) in rows.items()})
    answer = {}
    for uuid, (checksum, values) in rows.items():
        legacy_id, stored = mapped.get(uuid, (None, None))
        answer[uuid] = TargetRow(uuid, legacy_id, stored, checksum, values, problems[uuid])
    return answer


def source_rows(
    entity: Entity, source: Source, table: Table, keys: Iterable[int]
) -> dict[int, SourceRow]:
    """Those of them that are there. Raises SourceUnreachable."""
    columns = entity.source_columns
    computed = [source_sql(entity, table, source.vendor)]
    if mark := deleted_sql(entity, table, source.vendor):
        computed.append(mark)
    found: dict[int, SourceRow] = {}
    asked = sorted(set(keys))
    while asked:
        batch = source.read(table, columns, keys=asked, computed=computed, limit=len(asked))
        if batch is None:
            break
        for row in batch.rows:
            values = dict(zip(columns, row, strict=False))
            is_deleted = bool(mark and row[-1])
            found[row[0]] = SourceRow(row[0], values, row[len(columns)], is_deleted)
        asked = [key for key in asked if key > batch.last] if batch.is_cut else []
    return found


def to_write(
    entity: Entity, table: Table, target: TargetRow, source: SourceRow | None
) -> dict[str, Any]:
    """The source's columns that have to change, with what to write; of a row that isn't there yet
    all but its key.

    A column whose value is the same, however it is written, isn't among them. Raises
    NotReturnable with every reason.
    """
    wanted: dict[str, Any] = {}
    unchanged: list[Value] = []
    problems = list(target.problems.values())
    for value in entity.values:
        if value.field in target.problems:
            continue
        try:
            if source is not None and _is_same(value, target.values[value.field], source):
                unchanged.append(value)
                continue
            written = value.back(target.values[value.field], table.columns[value.source])
            if source is not None and _is_same(value, value.convert(written), source):
                # All but what the column has no room for.
                unchanged.append(value)
            elif wanted.setdefault(value.source, written) != written:
                problems.append(_torn(value))
        except ConversionError as error:
            problems.append(str(error))
    problems += [
        _torn(value)
        for value in unchanged
        if source is not None
        and value.source in wanted
        and not _is_same(value, _converted(value, wanted[value.source]), source)
    ]
    if problems:
        raise NotReturnable("; ".join(problems))
    return wanted


def kept_otherwise(entity: Entity, wanted: Mapping[str, Any], now: SourceRow) -> list[str]:
    """The columns that were written, but aren't read again as what was meant: the source keeps
    less than its schema says, or a trigger has its own view."""
    return [
        value.source
        for value in entity.values
        if value.source in wanted and not _is_same(value, value.convert(wanted[value.source]), now)
    ]


def _is_same(value: Value, wanted: Any, source: SourceRow) -> bool:
    try:
        found = value.convert(source.values[value.source])
    except ConversionError:
        return False
    return value.normal(wanted) == value.normal(found)


def _converted(value: Value, written: Any) -> Any:
    try:
        return value.convert(written)
    except ConversionError:
        return None


def _torn(value: Value) -> str:
    return f"{value.source}: several fields are read from it, and they want different values"


def _with_legacy_keys(entity: Entity, rows: Mapping[UUID, dict[str, Any]]) -> Problems:
    """Puts the legacy keys in place of the UUIDs that foreign keys have; answers what has none."""
    problems: Problems = {uuid: {} for uuid in rows}
    for name, column in entity.foreign_keys.items():
        wanted = {values[name] for values in rows.values() if values[name] is not None}
        keys = dict(
            LegacyIdMapping.objects.filter(entity_type=column.entity, uuid_id__in=wanted)
            # Of a reserved key nobody knows yet whether there will be a row.
            .exclude(checksum=LegacyIdMapping.GONE)
            .values_list("uuid_id", "legacy_id")
        )
        for uuid, values in rows.items():
            parent = values[name]
            if parent is not None:
                values[name] = keys.get(parent)
                if parent not in keys:
                    problems[uuid][name] = (
                        f"{column.source}: {parent} of {column.entity} has no row in the source yet"
                    )
    return problems


def _checksum(entity: Entity) -> RawSQL:
    table = quoted(entity.target._meta.db_table, "postgresql")
    statement = target_sql(entity, f"{table}.").replace("%", "%%")
    return RawSQL(statement, [])  # noqa: S611 - of a model's names, see `target_sql`
