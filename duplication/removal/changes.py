"""What was changed in a copy since it was complete: which rows, and how that is known.

A row of a copy that nobody saved has equal times of creation and change. Edits that leave
the times alone (SQL) show in the sums that the verification took; which rows they are, shows
a comparison with the original. What our own hand did is no change (`own_edits`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import OperationalError, connection, transaction

from content.models import Episode
from duplication.levels import CHILD_LEVELS, Level
from duplication.models import Duplication
from duplication.own_edits import (
    is_episode_untouched,
    is_own_sql,
    is_untouched_sql,
    original_sql,
)
from duplication.removal.conditions import MAX_NAMED
from duplication.verification import walk_chunk
from duplication.walk import LAST, Position, columns_sql, one, plan_for_walking, walk_sql
from operations.database_errors import is_contention

# For each level; a request waits for it.
LOOK_TIMEOUT_MS = 1_000


class Change(NamedTuple):
    node: str
    id: int
    what: str

    def __str__(self) -> str:
        return f"{self.node} {self.id} ({self.what})"


# --- a quick look -------------------------------------------------------------------


def saved_since(duplication: Duplication) -> list[Change]:
    """Rows that somebody saved since the copy was complete, at most MAX_NAMED; what can't be
    found out in time is left out. Commits nothing; in the caller's transaction."""
    found = episode_changes(duplication)
    for above, level in CHILD_LEVELS:
        if len(found) < MAX_NAMED:
            found += _saved_rows(duplication, above, level)
    return found[:MAX_NAMED]


def episode_changes(duplication: Duplication) -> list[Change]:
    """The episode's own row: renamed, published, or whatever else of it is another now."""
    copy = duplication.new_episode
    if copy is None:
        return []
    if copy.status not in (Episode.Status.DRAFT, Episode.Status.REMOVING):
        return [Change("episode", copy.pk, copy.status)]
    if not is_episode_untouched(duplication):
        return [Change("episode", copy.pk, "edited")]
    return []


def _saved_rows(duplication: Duplication, above: Level, level: Level) -> list[Change]:
    sql = f"""
        SELECT n.id FROM id_map m JOIN {level.table} n ON n.id = m.new_id
        WHERE m.duplication_id = %(duplication)s AND m.type = '{level.node}'
            AND n.updated_at <> n.created_at AND NOT {is_own_sql(level, row="n")}
        LIMIT {MAX_NAMED}"""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout')")
            (timeout,) = cursor.fetchone()
            _set_timeout(cursor, str(LOOK_TIMEOUT_MS))
            cursor.execute(sql, _parameters(duplication))
            rows = cursor.fetchall()
            _set_timeout(cursor, timeout)
    except OperationalError as error:
        if not is_contention(error):
            raise
        return []
    return [Change(level.node, id, "edited") for (id,) in rows]


def _set_timeout(cursor: Any, value: str) -> None:
    cursor.execute("SELECT set_config('statement_timeout', %s, true)", [value])


# --- the whole look, a chunk at a time ----------------------------------------------


def sums_of_chunk(
    duplication: Duplication, above: Level, level: Level, start: Position, size: int
) -> tuple[dict[str, int], list[int] | None]:
    """What the verification sums up over the copy, with `saved`, the rows saved since."""
    sums, last = walk_chunk("copy", duplication, above, level, start, size)
    own = ["id", "created_at", "updated_at", level.parent_column]
    walked = walk_sql(above, level, side="new", columns=columns_sql(level, *own))
    sql = f"""
        SELECT count(*) FROM ({walked}) AS n
        WHERE n.updated_at <> n.created_at AND NOT {is_own_sql(level, row="n")}"""
    with connection.cursor() as cursor:
        (saved,) = one(cursor, sql, _parameters(duplication, start, size))
    return {**sums, "saved": saved}, last


def verified_sums(duplication: Duplication, level: Level) -> dict[str, int]:
    """What the verification summed up over the copy."""
    counts = duplication.jobs.values_list("counts", flat=True).get(
        stage="verify", parameters={"pass": "copy"}
    )
    return {key: counts.get(f"{level.stage}.{key}", 0) for key in ("rows", "checksum", "pairs")}


class Compared(NamedTuple):
    """`unsure`: rows that differ from an original that was changed as well."""

    rows: int
    changes: list[Change]
    unsure: list[Change]
    last: list[int] | None


def compare_mapped(
    duplication: Duplication, above: Level, level: Level, start: Position, size: int
) -> Compared:
    """Compare a chunk of the copied rows with their originals, as these belong in the copy."""
    chunk = f"""
        SELECT org_id AS parent_org, org_id AS id, new_id FROM id_map
        WHERE duplication_id = %(duplication)s AND type = '{level.node}' AND org_id > %(id)s
        ORDER BY org_id LIMIT %(size)s"""
    sql = f"""
        WITH chunk AS MATERIALIZED ({chunk}),
        compared AS (
            SELECT m.new_id, CASE
                WHEN n.id IS NULL THEN 'deleted'
                WHEN NOT EXISTS (
                    SELECT 1 FROM id_map here WHERE here.duplication_id = %(duplication)s
                        AND here.type = '{above.node}' AND here.new_id = n.{level.parent_column}
                ) THEN 'moved away'
                WHEN {is_untouched_sql(above, level, org_id="m.id")} THEN NULL
                WHEN n.updated_at = n.created_at
                    AND (o.id IS NULL OR o.updated_at > %(created_at)s) THEN 'unsure'
                ELSE 'edited' END AS what
            FROM chunk m
            LEFT JOIN {level.table} n ON n.id = m.new_id
            LEFT JOIN LATERAL ({original_sql(level, org_id="m.id")}) o ON true
        )
        SELECT (SELECT count(*) FROM chunk),
            (SELECT json_agg(found) FROM (
                SELECT new_id, what FROM compared WHERE what <> 'unsure' LIMIT {MAX_NAMED}
            ) found),
            (SELECT json_agg(found) FROM (
                SELECT new_id, what FROM compared WHERE what = 'unsure' LIMIT {MAX_NAMED}
            ) found),
            (SELECT {LAST} FROM chunk)"""
    with connection.cursor() as cursor:
        plan_for_walking(cursor)
        rows, changes, unsure, last = one(cursor, sql, _parameters(duplication, start, size))
    perhaps = [change._replace(what="perhaps edited") for change in _changes(level, unsure)]
    return Compared(rows, _changes(level, changes), perhaps, last)


def find_added(
    duplication: Duplication, above: Level, level: Level, start: Position, size: int
) -> Compared:
    """Find rows of the copy, in one chunk of it, that weren't copied."""
    walked = walk_sql(above, level, side="new", columns="c.id")
    sql = f"""
        WITH chunk AS MATERIALIZED ({walked})
        SELECT (SELECT count(*) FROM chunk),
            (SELECT json_agg(found) FROM (
                SELECT id AS new_id, 'added' AS what FROM chunk WHERE NOT EXISTS (
                    SELECT 1 FROM id_map m WHERE m.duplication_id = %(duplication)s
                        AND m.type = '{level.node}' AND m.new_id = chunk.id
                ) LIMIT {MAX_NAMED}
            ) found),
            (SELECT {LAST} FROM chunk)"""
    with connection.cursor() as cursor:
        plan_for_walking(cursor)
        rows, changes, last = one(cursor, sql, _parameters(duplication, start, size))
    return Compared(rows, _changes(level, changes), [], last)


def _changes(level: Level, found: list[dict[str, Any]] | None) -> list[Change]:
    changes = [Change(level.node, row["new_id"], row["what"]) for row in found or []]
    return sorted(changes, key=lambda change: change.id)


def _parameters(
    duplication: Duplication, start: Position | None = None, size: int = 0
) -> dict[str, Any]:
    start = start or Position()
    return {
        "duplication": duplication.pk,
        "parent": start.parent,
        "id": start.id,
        "size": size,
        "created_at": duplication.created_at,
    }
