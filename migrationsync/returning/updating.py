"""Rows that both sides have: what the target changed is written to the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from migrationsync.entities import Entity
from migrationsync.returning import marks
from migrationsync.returning.keeping import keep
from migrationsync.returning.results import Returned, as_json
from migrationsync.returning.rows import (
    NotReturnable,
    SourceRow,
    TargetRow,
    chunks,
    kept_otherwise,
    source_rows,
    target_rows,
    to_write,
    with_key,
)
from migrationsync.source import Source, Table
from migrationsync.source.writing import RowRefused, Writer, writing

STALE = "changed in the source since the two were last alike: compare again, then decide"
_NO_TARGET = "is no longer in the target"
_NO_SOURCE = "has no row in the source"


def give_back(
    entity: Entity, source: Source, table: Table, uuids: Sequence[UUID]
) -> list[Returned]:
    """Writes to the source what the target changed, and nothing else: only the columns whose value
    differs. One answer for each of `uuids`, in their order. A field of the target that is read from
    the source's key is set to it.

    A row that changed in the source since the two were last alike is refused as stale. Commits on
    the source, a transaction for each few hundred rows; before it, on this side, what is written
    (`keeping`). Idempotent: what is as wanted already is answered with its checksum. Raises
    SourceUnreachable, MayNotWrite.
    """
    return _given(entity, source, table, uuids, is_forced=False)


def give_back_forced(
    entity: Entity, source: Source, table: Table, uuids: Sequence[UUID]
) -> list[Returned]:
    """As `give_back`, over what changed in the source: only a change between reading and writing
    makes it stale."""
    return _given(entity, source, table, uuids, is_forced=True)


def _given(
    entity: Entity, source: Source, table: Table, uuids: Sequence[UUID], *, is_forced: bool
) -> list[Returned]:
    found: dict[UUID, Returned] = {}
    for chunk in chunks(uuids):
        targets = target_rows(entity, chunk)
        found |= {
            uuid: Returned(uuid, None, None, problem=_NO_TARGET)
            for uuid in chunk
            if uuid not in targets
        }
        # In the order of their keys: two that write at once don't wait for each other in a ring.
        in_order = sorted(targets.values(), key=lambda target: target.legacy_id or 0)
        with writing(source, entity, table) as writer:
            rows = source_rows(entity, writer, table, _keys(targets))
            for target in in_order:
                found[target.uuid] = _one(entity, table, writer, target, rows, is_forced)
            keep(entity, (found[target.uuid] for target in in_order))
    return [found[uuid] for uuid in uuids]


def _one(
    entity: Entity,
    table: Table,
    writer: Writer,
    target: TargetRow,
    rows: Mapping[int, SourceRow],
    is_forced: bool,
) -> Returned:
    row = rows.get(target.legacy_id) if target.legacy_id is not None else None
    if row is None or row.is_deleted:
        return refused(target, _NO_SOURCE)
    try:
        wanted = to_write(entity, table, target, row)
        if wanted and not is_forced and row.checksum != target.stored:
            return refused(target, STALE)
        target = with_key(entity, target, row.key)
        now = changed(entity, table, writer, row, wanted) if wanted else row
        return returned(target, row, now)
    except (NotReturnable, RowRefused) as refusal:
        return refused(target, str(refusal))


def changed(
    entity: Entity,
    table: Table,
    writer: Writer,
    row: SourceRow,
    wanted: dict[str, Any],
) -> SourceRow:
    """Writes to one row that must still be as `row` is; answers how it is then.

    Raises NotReturnable, also where the source doesn't keep what was written: nothing of it stays.
    """
    with writer.attempt():
        values = {**marks.changed_now(entity, table), **wanted}
        if not writer.update(row.key, values, row.checksum):
            raise NotReturnable(STALE)
        return as_kept(entity, table, writer, row.key, wanted)


def as_kept(
    entity: Entity, table: Table, writer: Writer, key: int, wanted: Mapping[str, Any]
) -> SourceRow:
    """A row that was just written. Raises NotReturnable where it isn't as it was meant."""
    now = source_rows(entity, writer, table, [key]).get(key)
    if now is None:
        raise NotReturnable("was taken away by the source itself as it was written")
    if otherwise := kept_otherwise(entity, wanted, now):
        raise NotReturnable(f"the source doesn't keep what is written to {', '.join(otherwise)}")
    return now


def returned(target: TargetRow, before: SourceRow | None, after: SourceRow) -> Returned:
    return Returned(
        target.uuid,
        after.key,
        after.checksum,
        target.checksum,
        before=as_json(before.values) if before else None,
        after=as_json(after.values),
    )


def refused(target: TargetRow, problem: str) -> Returned:
    return Returned(target.uuid, target.legacy_id, None, problem=problem)


def _keys(targets: Mapping[UUID, TargetRow]) -> list[int]:
    return [target.legacy_id for target in targets.values() if target.legacy_id is not None]
