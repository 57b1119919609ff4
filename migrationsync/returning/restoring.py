"""Undoes one change of the source: its row is made what it was before."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from migrationsync.columns import Family, SourceColumn
from migrationsync.entities import Entity
from migrationsync.models import LegacyIdMapping
from migrationsync.returning.results import Returned, Row, as_json
from migrationsync.returning.rows import NotReturnable, SourceRow, source_rows
from migrationsync.returning.updating import STALE
from migrationsync.source import Source, Table
from migrationsync.source.writing import RowRefused, Writer, writing


def restore(
    entity: Entity,
    source: Source,
    table: Table,
    legacy_id: int,
    *,
    before: Row | None,
    after: Row | None,
) -> Returned:
    """Makes the source's row `before` again, where it is still `after`: both as a Returned or an
    AppliedChange has them.

    Columns that aren't declared aren't known: a row that was really deleted comes back without
    them. Commits on the source. Idempotent. Raises SourceUnreachable, MayNotWrite.
    """
    with writing(source, entity, table) as writer:
        row = source_rows(entity, writer, table, [legacy_id]).get(legacy_id)
        now = as_json(row.values) if row else None
        try:
            if now != before:
                if now != after:
                    raise NotReturnable(STALE)
                row = _restored(entity, table, writer, legacy_id, row, before)
        except (NotReturnable, RowRefused) as refusal:
            return Returned(None, legacy_id, None, problem=str(refusal))
    is_there = row is not None and not row.is_deleted
    checksum = row.checksum if row and is_there else LegacyIdMapping.GONE
    return Returned(None, legacy_id, checksum, before=now, after=before)


def _restored(
    entity: Entity,
    table: Table,
    writer: Writer,
    key: int,
    row: SourceRow | None,
    before: Row | None,
) -> SourceRow | None:
    with writer.attempt():
        if before is None:
            if row is not None and not writer.delete(key, row.checksum):
                raise NotReturnable(STALE)
            return None
        now = as_json(row.values) if row else {}
        wanted = {
            name: _from_json(value, table.columns[name])
            for name, value in before.items()
            if row is None or now[name] != value
        }
        if row is None:
            writer.insert(wanted)
        elif not writer.update(key, wanted, row.checksum):
            raise NotReturnable(STALE)
        found = source_rows(entity, writer, table, [key]).get(key)
        if found is None or as_json(found.values) != before:
            raise NotReturnable("the source doesn't keep what it had before")
        return found


def _from_json(value: Any, column: SourceColumn) -> Any:
    """A value that `as_json` made, as it is written: what is a text there is one that the engine
    reads as the column's type."""
    if column.family is Family.JSON and isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    if not isinstance(value, str):
        return value
    if column.family is Family.BINARY:
        return bytes.fromhex(value.removeprefix("\\x"))
    if column.family is Family.INSTANT:
        try:
            return dt.datetime.fromisoformat(value)
        except ValueError:
            return value
    return value
