"""Keeps the rows that couldn't be brought over, and closes what has come good."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

from migrationsync.loading.preparing import Prepared
from migrationsync.loading.refusals import Refusal, kept
from migrationsync.models import QuarantinedRow

_TABLE = QuarantinedRow._meta.db_table
# Keys that are asked for at once.
CHUNK = 1_000

_KEEP = f"""
INSERT INTO {_TABLE} AS q
    (source_alias, entity_type, legacy_id, reasons, data, migration_batch, attempts)
SELECT %s, %s, n.legacy_id, n.reasons, n.data, %s, 1
FROM jsonb_to_recordset(%s) AS n (legacy_id bigint, reasons jsonb, data jsonb)
-- Not by a condition on the update: that would lock, so write, the rows it leaves alone.
WHERE NOT EXISTS (
    SELECT FROM {_TABLE} k
    WHERE k.entity_type = %s AND k.legacy_id = n.legacy_id AND k.resolved_at IS NULL
        AND (k.source_alias, k.reasons, k.data, k.migration_batch)
            = (%s, n.reasons, n.data, %s)
)
ON CONFLICT (entity_type, legacy_id) DO UPDATE SET
    source_alias = excluded.source_alias,
    reasons = excluded.reasons,
    data = excluded.data,
    migration_batch = excluded.migration_batch,
    attempts = q.attempts + (q.migration_batch <> excluded.migration_batch)::int,
    updated_at = statement_timestamp(),
    resolved_at = NULL"""

_RESOLVE = f"""
UPDATE {_TABLE} SET resolved_at = statement_timestamp(), updated_at = statement_timestamp()
WHERE entity_type = %s AND resolved_at IS NULL AND NOT legacy_id = ANY(%s)"""


def record(
    connection: BaseDatabaseWrapper,
    prepared: Prepared,
    refusals: Sequence[Refusal],
    *,
    batch_name: str,
) -> None:
    """Keeps `refusals` of the batch and closes what else of it was kept: rows that came over,
    are marked as deleted or are no longer there.

    A row that is refused under another batch's name has one more attempt; under the same name,
    for the same reasons, nothing changes.
    """
    refused = [each.key for each in refusals]
    with connection.cursor() as cursor:
        bounds: list[Any]
        if refusals:
            rows = [
                {"legacy_id": each.key, "reasons": each.reasons, "data": each.data}
                for each in _with_data(prepared, refusals)
            ]
            alias, name = prepared.source.alias, prepared.entity.name
            kept_as = [alias, name, batch_name, json.dumps(rows), name, alias, batch_name]
            cursor.execute(_KEEP, kept_as)
        if prepared.keys is not None:
            where, bounds = " AND legacy_id = ANY(%s)", [list(prepared.keys)]
        elif prepared.last is not None:
            where, bounds = " AND legacy_id <= %s", [prepared.last]
            if prepared.after is not None:
                where, bounds = where + " AND legacy_id > %s", [*bounds, prepared.after]
        else:
            return
        cursor.execute(_RESOLVE + where, [prepared.entity.name, refused, *bounds])


def _with_data(prepared: Prepared, refusals: Sequence[Refusal]) -> Iterator[Refusal]:
    """Rows that passed as lines only are read again, as they are now."""
    unread = [each.key for each in refusals if each.data is None]
    columns = tuple(dict.fromkeys(prepared.entity.reads))
    found: dict[int, dict[str, Any]] = {}
    for begin in range(0, len(unread), CHUNK):
        keys: Sequence[int] = unread[begin : begin + CHUNK]
        last = None
        while batch := prepared.source.read(
            prepared.table, columns, keys=keys, after=last, limit=CHUNK
        ):
            found |= {row[0]: kept(columns, row) for row in batch.rows}
            last = batch.last
    for each in refusals:
        yield each if each.data is not None else replace(each, data=found.get(each.key, {}))
