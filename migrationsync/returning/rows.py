"""A record's two rows as they are now, and what it takes to make the source's like the target's.

Owns what is read and compared. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import DataError, IntegrityError, transaction
from django.db.models.expressions import RawSQL

from migrationsync.checksums import source_sql, target_sql
from migrationsync.columns import SourceColumn
from migrationsync.converters import ConversionError
from migrationsync.deleted import deleted_sql
from migrationsync.entities import Entity
from migrationsync.entities.declarations import Value
from migrationsync.models import LegacyIdMapping
from migrationsync.names import quoted
from migrationsync.source import Source, Table
from migrationsync.source.errors import first_line

# Records that are given back in one transaction of the source.
CHUNK = 500
# No value's normal form: PostgreSQL has no such character.
_UNREADABLE = "\x00"
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
    problems = list(target.problems.values())
    for name, values in _by_column(entity).items():
        # Without what one of them wants, nothing is known of the column.
        if any(value.field in target.problems for value in values):
            continue
        try:
            written = _written(values, target, source, table.columns[name])
            # What the column has no room for is no reason to write.
            if source is None or not all(_is_read_alike(each, written, source) for each in values):
                wanted[name] = written
        except NotReturnable as refusal:
            problems.append(str(refusal))
    if problems:
        raise NotReturnable("; ".join(problems))
    return wanted


def with_key(entity: Entity, target: TargetRow, key: int) -> TargetRow:
    """The target's row with the source's key in the fields that are read from it: that is the
    source's to say, and goes one way. Commits; a row that was changed meanwhile is left as it is.

    Raises NotReturnable where the target doesn't take the key.
    """
    try:
        found = {
            value.field: value.convert(key)
            for value in entity.values
            if value.source == entity.key
            and value.field not in entity.foreign_keys
            and value.normal(value.convert(key)) != value.normal(target.values[value.field])
        }
    except ConversionError as error:
        raise NotReturnable(str(error)) from error
    if not found:
        return target
    rows = entity.target._base_manager.filter(pk=target.uuid).annotate(checksum_=_checksum(entity))
    try:
        with transaction.atomic():
            if not rows.filter(checksum_=target.checksum).update(**found):
                return target
            checksum = rows.values_list("checksum_", flat=True).get()
    except (IntegrityError, DataError) as error:
        raise NotReturnable(
            f"its key {key} can't be stored in {', '.join(found)}: {first_line(error)}"
        ) from error
    return replace(target, checksum=checksum, values={**target.values, **found})


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


def _by_column(entity: Entity) -> dict[str, list[Value]]:
    """What is read of each of the source's columns, but for its key, which is never written."""
    found: dict[str, list[Value]] = {}
    for value in entity.values:
        if value.source != entity.key:
            found.setdefault(value.source, []).append(value)
    return found


def _written(
    values: Sequence[Value], target: TargetRow, source: SourceRow | None, column: SourceColumn
) -> Any:
    """What the source's column is to have, so that each field that is read from it is as the target
    has it. Of several fields one may keep less than the others (a name for searching): what
    serves all of them is taken. Raises NotReturnable."""
    changed = [
        value
        for value in values
        if source is None or not _is_same(value, target.values[value.field], source)
    ]
    if source is not None and not changed:
        return source.values[column.name]
    candidates: dict[str, Any] = {}
    problems: list[str] = []
    for value in changed:
        try:
            candidates[value.field] = value.back(target.values[value.field], column)
        except ConversionError as error:
            problems.append(str(error))
    meant = {
        # With what its own candidate leaves out.
        value.field: _read(value, candidates[value.field])
        if value.field in candidates
        else value.normal(target.values[value.field])
        for value in values
    }
    for written in candidates.values():
        if all(_read(value, written) == meant[value.field] for value in values):
            return written
    raise NotReturnable("; ".join(problems) or _torn(column))


def _read(value: Value, written: Any) -> str | None:
    """The normal form of what is read of it; of what can't be read none that anything else has."""
    try:
        return value.normal(value.convert(written))
    except ConversionError:
        return _UNREADABLE


def _is_read_alike(value: Value, written: Any, source: SourceRow) -> bool:
    return _read(value, written) == _read(value, source.values[value.source])


def _torn(column: SourceColumn) -> str:
    return f"{column.name}: several fields are read from it, and they want different values"


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
