"""What was changed in a copy since it was complete: which rows, and how that is known.

A row of a copy that nobody saved has equal times of creation and change. Edits that leave
the times alone (SQL) show in the sums that the verification took; which rows they are, shows
a comparison with the original. What was done to the copy by our own hand, mending a link or
catching up with the original, is no change, unless somebody saved the row later.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from django.db import OperationalError, connection, transaction

from content.models import Episode
from duplication.drift import copy_hash_sql, in_copy
from duplication.levels import CHILD_LEVELS, EPISODE, Level
from duplication.models import CatchUp, DriftFinding, Duplication, LinkFinding
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
    """The episode's own row: renamed, published, or saved for whatever else."""
    copy = duplication.new_episode
    if copy is None:
        return []
    if copy.status not in (Episode.Status.DRAFT, Episode.Status.REMOVING):
        return [Change("episode", copy.pk, copy.status)]
    is_saved = copy.updated_at != copy.created_at and not _is_caught_up(duplication, copy)
    if copy.title != duplication.title or is_saved:
        return [Change("episode", copy.pk, "edited")]
    return []


def _is_caught_up(duplication: Duplication, copy: Episode) -> bool:
    """Whether it was a catch-up that saved the episode's own row last."""
    caught_up_at = _caught_up_at(duplication)
    applied = duplication.drift_findings.filter(type=EPISODE.node, state=DriftFinding.State.APPLIED)
    return caught_up_at is not None and copy.updated_at <= caught_up_at and applied.exists()


def _saved_rows(duplication: Duplication, above: Level, level: Level) -> list[Change]:
    sql = f"""
        SELECT n.id FROM id_map m JOIN {level.table} n ON n.id = m.new_id
        WHERE m.duplication_id = %(duplication)s AND m.type = '{level.node}'
            AND n.updated_at <> n.created_at AND NOT {_own_hand_sql(level, "m.org_id")}
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
    walked = walk_sql(
        above, level, side="new", columns="c.id, c.orig_id, c.created_at, c.updated_at"
    )
    sql = f"""
        SELECT count(*) FROM ({walked}) AS n
        WHERE n.updated_at <> n.created_at AND NOT {_own_hand_sql(level, "n.orig_id")}"""
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
    same = " AND ".join(
        f"{value} IS NOT DISTINCT FROM n.{column}"
        for column, value in in_copy(level, row="o", parent="p.new_id").items()
    )
    original = columns_sql(level, "id", "updated_at", level.parent_column)
    sql = f"""
        WITH chunk AS MATERIALIZED ({chunk}),
        compared AS (
            SELECT m.new_id, CASE
                WHEN n.id IS NULL AND {_caught_up_sql(level, "m.id")} THEN NULL
                WHEN n.id IS NULL THEN 'deleted'
                WHEN NOT EXISTS (
                    SELECT 1 FROM id_map here WHERE here.duplication_id = %(duplication)s
                        AND here.type = '{above.node}' AND here.new_id = n.{level.parent_column}
                ) THEN 'moved away'
                WHEN {same} OR {_own_hand_sql(level, "m.id")} OR EXISTS (
                    SELECT 1 FROM {DriftFinding._meta.db_table} d
                    WHERE d.duplication_id = %(duplication)s AND d.type = '{level.node}'
                        AND d.org_id = m.id AND d.copy_hash = {copy_hash_sql(level, row="n")}
                ) THEN NULL
                WHEN n.updated_at = n.created_at
                    AND (o.id IS NULL OR o.updated_at > %(created_at)s) THEN 'unsure'
                ELSE 'edited' END AS what
            FROM chunk m
            LEFT JOIN {level.table} n ON n.id = m.new_id
            LEFT JOIN LATERAL (
                SELECT {original} FROM {level.table} c WHERE c.id = m.id
            ) o ON true
            LEFT JOIN id_map p ON p.duplication_id = %(duplication)s AND p.type = '{above.node}'
                AND p.org_id = o.{level.parent_column}
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


def has_our_changes(duplication: Duplication, level: Level) -> bool:
    """Whether we changed rows of this level ourselves, so that its sums are others by right."""
    mended = duplication.link_findings.filter(type=level.node, mended_at__isnull=False)
    applied = duplication.drift_findings.filter(type=level.node, state=DriftFinding.State.APPLIED)
    return mended.exists() or applied.exists()


def _changes(level: Level, found: list[dict[str, Any]] | None) -> list[Change]:
    changes = [Change(level.node, row["new_id"], row["what"]) for row in found or []]
    return sorted(changes, key=lambda change: change.id)


def _own_hand_sql(level: Level, org_id: str) -> str:
    """Whether the row `n` (and `org_id`, the one it was copied from) was saved last by a
    mended link or a catch-up."""
    return f"""(
        EXISTS (
            SELECT 1 FROM {LinkFinding._meta.db_table} l
            WHERE l.duplication_id = %(duplication)s AND l.type = '{level.node}'
                AND l.new_id = n.id AND l.mended_at >= n.updated_at
        ) OR (n.updated_at <= %(caught_up_at)s AND {_caught_up_sql(level, org_id)})
    )"""


def _caught_up_sql(level: Level, org_id: str) -> str:
    return f"""EXISTS (
        SELECT 1 FROM {DriftFinding._meta.db_table} d
        WHERE d.duplication_id = %(duplication)s AND d.type = '{level.node}'
            AND d.org_id = {org_id} AND d.state = '{DriftFinding.State.APPLIED.value}'
    )"""


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
        "caught_up_at": _caught_up_at(duplication),
    }


def _caught_up_at(duplication: Duplication) -> dt.datetime | None:
    ended = CatchUp.objects.filter(duplication=duplication, ended_at__isnull=False)
    return ended.order_by("-ended_at").values_list("ended_at", flat=True).first()
