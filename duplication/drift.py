"""Finding out what changed in the original while it was being copied.

Below the root only levels whose sums differ are looked at (`verification.changed_levels`),
row by row, in bounded chunks: what the original's row says now against the copy's, links and
files read as they belong in the copy. The root is looked at in any case. Findings are kept
for the page and for catching up.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import connection

from duplication.levels import CHILD_LEVELS, EPISODE, Level
from duplication.links import text_sql
from duplication.media.names import own_sql
from duplication.models import DriftFinding, Duplication, DuplicationJob
from duplication.verification import changed_levels
from duplication.walk import (
    LAST,
    Position,
    columns_sql,
    one,
    plan_for_walking,
    row_hash_sql,
    walk_sql,
)
from operations.work import Step, Work

# A row is a newcomer only if it was also created about when the copy began or later.
CLOCK_TOLERANCE = dt.timedelta(seconds=60)
PRESENT, GONE = "present", "gone"


class FindDrift(Work[DuplicationJob]):
    """Cursor: [index of the level, "present" or "gone", [parent, id] after which to go on].

    *present* walks the rows that the original has now, *gone* the rows that were copied.
    """

    initial_size = 5_000
    min_size = 100
    max_size = 50_000

    def step(self, job: DuplicationJob, size: int, prepared: Any) -> Step:
        changed = changed_levels(job.duplication)
        is_root_edited = job.cursor is None and _find_edited_root(job.duplication)
        counts = {f"{EPISODE.stage}.edited": 1} if is_root_edited else {}
        if not changed:
            return Step(cursor=None, finished=True, total=0, counts=counts)
        index, phase, at = job.cursor or [changed[0], PRESENT, [0, 0]]
        above, level = CHILD_LEVELS[index]
        position = Position(*at)
        with connection.cursor() as cursor:
            plan_for_walking(cursor)
            rows, edited, added, omitted, deleted, last = one(
                cursor,
                (present_sql if phase == PRESENT else gone_sql)(above, level),
                {
                    "duplication": job.duplication_id,
                    "parent": position.parent,
                    "id": position.id,
                    "high_water": job.duplication.high_water[level.stage],
                    "snapshot": job.duplication.high_water["snapshot"],
                    "newcomers_from": job.duplication.created_at - CLOCK_TOLERANCE,
                    "size": size,
                },
            )
        following = changed[changed.index(index) + 1 :]
        reached: list[Any] | None = None
        if rows == size:
            reached = [index, phase, last]
        elif phase == PRESENT:
            reached = [index, GONE, [0, 0]]
        elif following:
            reached = [following[0], PRESENT, [0, 0]]
        found = {"edited": edited, "added": added, "omitted": omitted, "deleted": deleted}
        return Step(
            cursor=reached,
            finished=reached is None,
            rows=rows,
            done=rows if phase == PRESENT else 0,
            counts=counts | {f"{level.stage}.{change}": number for change, number in found.items()},
        )


def _find_edited_root(duplication: Duplication) -> bool:
    """Keep the episode's own row if what a copy takes over of it is another now. One that is
    gone ends the copy, and is none of ours."""
    same = " AND ".join(
        f"{value} IS NOT DISTINCT FROM n.{column}"
        for column, value in in_copy(EPISODE, row="o").items()
    )
    with connection.cursor() as cursor:
        (edited,) = one(
            cursor,
            f"""
            WITH edited AS (
                SELECT o.id, n.id AS new_id, '{DriftFinding.Change.EDITED.value}' AS change,
                    {copy_hash_sql(EPISODE, row="n")} AS copy_hash
                FROM {EPISODE.table} o JOIN {EPISODE.table} n ON n.id = %(copy)s
                WHERE o.id = %(original)s AND NOT ({same})
            ),
            listed AS ({_insert_sql(EPISODE, "edited")})
            SELECT count(*) FROM edited""",
            {
                "duplication": duplication.pk,
                "original": duplication.org_episode_id,
                "copy": duplication.new_episode_id,
            },
        )
    return bool(edited)


def present_sql(above: Level, level: Level) -> str:
    """Compare one chunk of the original with the copy and keep what differs; answers (rows,
    edited, added, omitted, 0, last position).

    A row that isn't in the id map was left out if it was visible when the copy began. `xmin`
    has 32 bits; the 64-bit id it stands for is the largest one with these bits that is not in
    the future.
    """
    walked = walk_sql(
        above,
        level,
        side="org",
        columns=columns_sql(level, "id", "created_at", "xmin::text::bigint AS written_by"),
    )
    same = " AND ".join(
        f"{value} IS NOT DISTINCT FROM n.{column}"
        for column, value in in_copy(level, row="chunk", parent="chunk.parent_new").items()
    )
    return f"""
        WITH chunk AS MATERIALIZED ({walked}),
        compared AS (
            SELECT chunk.id, m.new_id, {copy_hash_sql(level, row="n")} AS copy_hash,
                CASE WHEN m.new_id IS NOT NULL THEN '{DriftFinding.Change.EDITED.value}'
                    WHEN chunk.created_at < %(newcomers_from)s OR pg_visible_in_snapshot(
                        (now.xid - mod(now.xid - chunk.written_by + 4294967296, 4294967296)
                        )::text::xid8, %(snapshot)s::pg_snapshot)
                    THEN '{DriftFinding.Change.OMITTED.value}'
                    ELSE '{DriftFinding.Change.ADDED.value}' END AS change
            FROM chunk
            CROSS JOIN (
                SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xid
            ) now
            LEFT JOIN id_map m ON m.duplication_id = %(duplication)s
                AND m.type = '{level.node}' AND m.org_id = chunk.id
            LEFT JOIN {level.table} n ON n.id = m.new_id
            WHERE NOT (m.new_id IS NOT NULL AND {same})
        ),
        listed AS ({_insert_sql(level, "compared")})
        SELECT (SELECT count(*) FROM chunk),
            count(*) FILTER (WHERE change = '{DriftFinding.Change.EDITED.value}'),
            count(*) FILTER (WHERE change = '{DriftFinding.Change.ADDED.value}'),
            count(*) FILTER (WHERE change = '{DriftFinding.Change.OMITTED.value}'),
            0, (SELECT {LAST} FROM chunk)
        FROM compared"""


def gone_sql(above: Level, level: Level) -> str:
    """Look up one chunk of the id map in the original; answers like `present_sql`, with the
    rows that are no longer there in fifth place."""
    return f"""
        WITH chunk AS MATERIALIZED (
            SELECT org_id AS parent_org, org_id AS id, new_id FROM id_map
            WHERE duplication_id = %(duplication)s AND type = '{level.node}'
                AND org_id > %(id)s
            ORDER BY org_id LIMIT %(size)s
        ),
        gone AS (
            SELECT chunk.id, chunk.new_id, '{DriftFinding.Change.DELETED.value}' AS change,
                {copy_hash_sql(level, row="n")} AS copy_hash
            FROM chunk LEFT JOIN {level.table} n ON n.id = chunk.new_id
            WHERE NOT EXISTS (
                SELECT 1 FROM {level.table} c JOIN id_map p
                    ON p.duplication_id = %(duplication)s AND p.type = '{above.node}'
                    AND p.org_id = c.{level.parent_column}
                WHERE c.id = chunk.id
            )
        ),
        listed AS ({_insert_sql(level, "gone")})
        SELECT (SELECT count(*) FROM chunk), 0, 0, 0, (SELECT count(*) FROM gone),
            (SELECT {LAST} FROM chunk)"""


def in_copy(level: Level, *, row: str, parent: str = "") -> dict[str, str]:
    """What the copy's columns should hold, as SQL over the original's `row` (an alias, with
    `has_link`) and its new parent: links and files read as they belong in the copy."""
    values = {level.parent_column: parent} if level.parent else {}
    for column in level.copied:
        if column in level.text_fields:
            values[column] = text_sql(column, row=row)
        elif column == "media":
            values[column] = own_sql(f"{row}.{column}")
        else:
            values[column] = f"{row}.{column}"
    return values


def copy_hash_sql(level: Level, *, row: str) -> str:
    """Of a row of the copy as it stands: whether it was edited since."""
    parent = [level.parent_column] if level.parent else []
    return row_hash_sql(*(f"{row}.{column}" for column in (*parent, *level.copied)))


def _insert_sql(level: Level, source: str) -> str:
    return f"""
        INSERT INTO {DriftFinding._meta.db_table}
            (duplication_id, type, org_id, new_id, change, state, copy_hash)
        SELECT %(duplication)s::bigint, '{level.node}', id, new_id, change,
            '{DriftFinding.State.OPEN.value}', CASE WHEN new_id IS NOT NULL THEN copy_hash END
        FROM {source}
        ON CONFLICT DO NOTHING"""
