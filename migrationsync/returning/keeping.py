"""Keeps what the source is about to commit: for the undo record, whatever happens next.

The source commits before our side does. Who comes after a crash in between finds the two alike,
and not what the source had before: that is here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from django.db import connection, transaction

from migrationsync.entities import Entity
from migrationsync.identifiers import uuid7
from migrationsync.models import LegacyIdMapping, SourceWrite
from migrationsync.returning.results import Returned

_MAPPINGS = LegacyIdMapping._meta.db_table
_GONE = LegacyIdMapping.GONE
_KEEP = f"""
INSERT INTO {SourceWrite._meta.db_table}
    (id, entity_type, legacy_id, uuid, before, after, checksum, mapping_before, written_at)
SELECT n.id, %s, n.legacy_id, n.uuid, n.before, n.after, n.checksum,
    -- A reserved key's mapping was made for this write.
    CASE WHEN (m.checksum, m.target_checksum) <> ('{_GONE}', '{_GONE}') THEN to_jsonb(m) END,
    clock_timestamp()
FROM jsonb_to_recordset(%s) AS n (id uuid, legacy_id bigint, uuid uuid,
    before jsonb, after jsonb, checksum text)
LEFT JOIN {_MAPPINGS} m ON m.entity_type = %s AND m.legacy_id = n.legacy_id
ON CONFLICT (entity_type, legacy_id) DO UPDATE SET
    id = excluded.id, uuid = excluded.uuid, before = excluded.before, after = excluded.after,
    checksum = excluded.checksum,
    mapping_before = excluded.mapping_before, written_at = excluded.written_at"""


def keep(entity: Entity, returned: Iterable[Returned]) -> None:
    """Commits those of `returned` that were written, on our side. To be called when all of a
    transaction of the source is done but for its commit."""
    rows = [
        {
            "id": str(uuid7()),
            "legacy_id": each.legacy_id,
            "uuid": str(each.uuid) if each.uuid else None,
            # null would be JSON's, and not the absence of a row.
            **{name: row for name in ("before", "after") if (row := getattr(each, name))},
            "checksum": each.checksum,
        }
        for each in returned
        if each.is_written
    ]
    if rows:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_KEEP, [entity.name, json.dumps(rows), entity.name])
