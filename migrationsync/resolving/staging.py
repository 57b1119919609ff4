"""The records of a step in the target's database: how they were seen, how they are, and what
they were before. Every statement about them is one for all.

Temporary tables of the open transaction; owns their SQL and that of the undo records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection

from migrationsync.comparing.records import Key, state_sql
from migrationsync.converters.base import literal
from migrationsync.entities import Entity
from migrationsync.identifiers import uuid7_texts
from migrationsync.models import AppliedChange, LegacyIdMapping, SourceWrite
from migrationsync.resolving import images
from migrationsync.resolving.gathering import Gathered
from migrationsync.resolving.images import MAPPINGS
from migrationsync.resolving.rules import Action

# As they were decided, and as they are.
DECIDED = "resolving_decided"
RECORDS = "resolving_records"
_CHANGES = AppliedChange._meta.db_table
_WRITES = SourceWrite._meta.db_table
_GONE = LegacyIdMapping.GONE
_WRITES_NO_ROW = f"('{Action.ACCEPT}', '{Action.FORGET}')"
_WRITES_SOURCE = ", ".join(f"'{each}'" for each in Action if each.writes_source)


def stage(gathered: Gathered, records: Mapping[Key, int]) -> set[int]:
    """Locks the records' rows and mappings, keeps what they are, and leaves out those that aren't
    as they were seen, unless they were written back already: answers theirs (of `records`)."""
    entity = gathered.entity
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL jit = off")
        cursor.execute(
            f"DROP TABLE IF EXISTS pg_temp.{DECIDED}, pg_temp.{RECORDS}; "
            f"CREATE TEMPORARY TABLE {DECIDED} (change_id uuid, record_id bigint, "
            "legacy_id bigint, uuid uuid, kind text, action text, seen text, source_checksum text)"
            " ON COMMIT DROP"
        )
        with cursor.copy(f"COPY {DECIDED} FROM STDIN") as copy:
            for row in _rows(gathered, records):
                copy.write_row(row)
        cursor.execute(f"ANALYZE {DECIDED}")
        # In the order in which everybody who takes several would.
        cursor.execute(_locked_mappings(entity))
        cursor.execute(_locked_rows(entity))
        cursor.execute(_as_they_are(entity))
        cursor.execute(
            f"DELETE FROM {RECORDS} WHERE state <> seen AND action NOT IN ({_WRITES_SOURCE}) "
            "RETURNING record_id"
        )
        return {record for (record,) in cursor.fetchall()}


def _rows(gathered: Gathered, records: Mapping[Key, int]) -> Any:
    current = [each for each in gathered.decided if each.key not in gathered.stale]
    for change_id, each in zip(uuid7_texts(len(current)), current, strict=True):
        difference = each.difference
        yield (
            change_id,
            records[each.key],
            difference.legacy_id,
            difference.uuid,
            difference.kind.value,
            each.action.value,
            gathered.seen[each.key],
            gathered.checksums.get(each.key),
        )


def _locked_mappings(entity: Entity) -> str:
    return (
        f"SELECT count(*) FROM (SELECT FROM {MAPPINGS} m JOIN {DECIDED} d "
        f"ON m.entity_type = {literal(entity.name)} AND m.legacy_id = d.legacy_id "
        "ORDER BY m.legacy_id FOR NO KEY UPDATE OF m) AS locked"
    )


def _locked_rows(entity: Entity) -> str:
    key = f"t.{images.key_column(entity)}"
    return (
        f"SELECT count(*) FROM (SELECT FROM {images.table(entity)} t JOIN {DECIDED} d "
        f"ON {key} = d.uuid ORDER BY {key} FOR NO KEY UPDATE OF t) AS locked"
    )


def _as_they_are(entity: Entity) -> str:
    selected = (
        f"SELECT d.*, {state_sql(entity)} AS state, {images.of_target(entity)} AS before, "
        f"to_jsonb(m) AS mapping_before, coalesce(m.uuid_id, d.uuid) AS row_id FROM {DECIDED} d "
        f"LEFT JOIN {MAPPINGS} m ON m.entity_type = {literal(entity.name)} AND {{same}} "
        f"LEFT JOIN {images.table(entity)} t "
        f"ON t.{images.key_column(entity)} = coalesce(m.uuid_id, d.uuid) WHERE {{which}}"
    )
    mapped = selected.format(same="m.legacy_id = d.legacy_id", which="d.legacy_id IS NOT NULL")
    extra = selected.format(same="m.uuid_id = d.uuid", which="d.legacy_id IS NULL")
    return f"CREATE TEMPORARY TABLE {RECORDS} ON COMMIT DROP AS {mapped} UNION ALL {extra}"


def keep_changes(entity: Entity, *, run_id: Any, by_id: Any) -> int:
    """Writes an undo record for each of the target's rows and mappings that is another now."""
    key = f"t.{images.key_column(entity)}"
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH now AS MATERIALIZED (SELECT r.*, coalesce(r.row_id, m.uuid_id) AS uuid_now, "
            f"{images.of_target(entity).replace('%', '%%')} AS after FROM {RECORDS} r "
            f"LEFT JOIN {MAPPINGS} m ON m.entity_type = %s AND m.legacy_id = r.legacy_id "
            f"LEFT JOIN {images.table(entity)} t ON {key} = coalesce(r.row_id, m.uuid_id)) "
            f"INSERT INTO {_CHANGES} (id, run_id, record_id, entity_type, legacy_id, uuid, action, "
            "side, before, after, mapping_before, applied_by_id, applied_at) "
            "SELECT change_id, %s, record_id, %s, legacy_id, uuid_now, action, 'target', before, "
            "after, mapping_before, %s, statement_timestamp() FROM now "
            f"WHERE action NOT IN ({_WRITES_SOURCE}) "
            f"AND (before IS DISTINCT FROM after OR action IN {_WRITES_NO_ROW})",
            [entity.name, run_id, entity.name, by_id],
        )
        return int(cursor.rowcount)


def keep_writes(entity: Entity, written: Sequence[int | None], *, run_id: Any, by_id: Any) -> int:
    """Makes undo records of what was written to the source: `written`, by their legacy ids, and
    what a step did of the same records that came no further than the source. That one is told
    from what never was committed there by the mapping, which has the source's row as it is."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH kept AS (DELETE FROM {_WRITES} w USING {DECIDED} d "
            "WHERE w.entity_type = %s AND (w.legacy_id = d.legacy_id OR w.uuid = d.uuid) AND ("
            f"w.legacy_id = ANY(%s) OR coalesce((SELECT m.checksum FROM {MAPPINGS} m "
            f"WHERE m.entity_type = w.entity_type AND m.legacy_id = w.legacy_id), '{_GONE}') "
            "= w.checksum) RETURNING w.*, d.record_id) "
            f"INSERT INTO {_CHANGES} (id, run_id, record_id, entity_type, legacy_id, uuid, action, "
            "side, before, after, mapping_before, applied_by_id, applied_at) "
            "SELECT id, %s, record_id, entity_type, legacy_id, uuid, "
            f"CASE WHEN before IS NULL THEN '{Action.RETURN_NEW}' "
            f"WHEN checksum = '{_GONE}' THEN '{Action.DELETE_SOURCE}' ELSE '{Action.RETURN}' END, "
            "'source', before, after, mapping_before, %s, statement_timestamp() FROM kept",
            [entity.name, list(written), run_id, by_id],
        )
        return int(cursor.rowcount)
