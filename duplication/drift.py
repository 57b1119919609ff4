"""Finding out what changed in the original while it was being copied.

Below the root only levels that changed are compared, row by row, in bounded chunks: what the
original's row says now against the copy's, links and files read as they belong in the copy.
Which levels these are say the verification's sums (`verification.changed_levels`) and, of what
changed behind its walk, a look whether these are the same versions of the same rows still. So
what is found is what the original says when this stage comes to it. The root is compared in any
case.
Findings are kept for the page and for catching up.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

from duplication.levels import CHILD_LEVELS, EPISODE, Level
from duplication.links import text_sql
from duplication.media.names import own_sql
from duplication.models import DriftFinding, Duplication, DuplicationJob
from duplication.verification import VERSION, VERSION_HASH, changed_levels, original_sums
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

LOOK, PRESENT, GONE = "look", "present", "gone"
# What the statements of each phase answer before the position; first how many rows there were.
FOUND = {
    LOOK: ("seen", "seen_versions"),
    PRESENT: ("rows", "edited", "added", "omitted"),
    GONE: ("mapped", "deleted"),
}


class FindDrift(Work[DuplicationJob]):
    """Cursor: [index of the level, phase, [parent, id] after which to go on].

    *look* walks the rows that the original has now and finds out whether they are still those
    that the verification walked; *present* compares them with the copy, *gone* looks for the
    rows that were copied.
    """

    initial_size = 5_000
    min_size = 100
    max_size = 50_000

    def step(self, job: DuplicationJob, size: int, prepared: Any) -> Step:
        changed = changed_levels(job.duplication)
        is_root_edited = job.cursor is None and _find_edited_root(job.duplication)
        counts = {f"{EPISODE.stage}.edited": 1} if is_root_edited else {}
        index, phase, at = job.cursor or _start_of(0, changed)
        stage = CHILD_LEVELS[index][1].stage
        found, last = _walk(job.duplication, index, phase, Position(*at), size)
        rows, *_ = found.values()
        counts |= {f"{stage}.{name}": number for name, number in found.items()}
        reached: list[Any] | None = None
        if rows == size:
            reached = [index, phase, last]
        elif phase == LOOK and _has_changed_since(job, CHILD_LEVELS[index][1], counts):
            reached = [index, PRESENT, [0, 0]]
        elif phase == PRESENT:
            reached = [index, GONE, [0, 0]]
        elif index + 1 < len(CHILD_LEVELS):
            reached = _start_of(index + 1, changed)
        compared = rows if phase == PRESENT else 0
        return Step(
            cursor=reached,
            finished=reached is None,
            rows=rows,
            done=compared,
            total=job.counts.get("compared", 0) + compared if reached is None else None,
            counts=counts | {"compared": compared},
        )


def _start_of(index: int, changed: list[int]) -> list[Any]:
    return [index, PRESENT if index in changed else LOOK, [0, 0]]


def _walk(
    duplication: Duplication, index: int, phase: str, start: Position, size: int
) -> tuple[dict[str, int], list[int] | None]:
    """Go through one chunk: what was found, as FOUND says, and the position of the last row."""
    above, level = CHILD_LEVELS[index]
    with connection.cursor() as cursor:
        plan_for_walking(cursor)
        *found, last = one(
            cursor,
            WALKS[phase](above, level),
            {
                "duplication": duplication.pk,
                "parent": start.parent,
                "id": start.id,
                "high_water": duplication.high_water[level.stage],
                "snapshot": duplication.high_water["snapshot"],
                "size": size,
            },
        )
    return dict(zip(FOUND[phase], map(int, found), strict=True)), last


def _has_changed_since(job: DuplicationJob, level: Level, counts: dict[str, int]) -> bool:
    """Whether a level, looked at to its end, has changed behind the verification's walk."""
    walked = original_sums(job.duplication, level)
    keys = [f"{level.stage}.{name}" for name in FOUND[LOOK]]
    seen = [job.counts.get(key, 0) + counts[key] for key in keys]
    return seen != [walked["rows"], walked["versions"]]


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


def look_sql(above: Level, level: Level) -> str:
    """Sum up the versions of the rows in one chunk of the original; answers (rows, sum, last
    position)."""
    columns = ", ".join(f"c.{column}" for column in ("id", *VERSION))
    walked = walk_sql(above, level, side="org", columns=columns)
    return f"""
        SELECT count(*), coalesce(sum({VERSION_HASH}), 0), {LAST} FROM ({walked}) AS chunk"""


def present_sql(above: Level, level: Level) -> str:
    """Compare one chunk of the original with the copy and keep what differs; answers (rows,
    edited, added, omitted, last position).

    A row that isn't in the id map was left out if it stood here, as it does now, when the copy
    began. A version of it that is younger was added, or moved here from where it had yet to be
    copied, or from another episode. `xmin` has 32 bits; the 64-bit id it stands for is the
    largest one with these bits that is not in the future.
    """
    walked = walk_sql(
        above,
        level,
        side="org",
        columns=columns_sql(level, "id", "xmin::text::bigint AS written_by"),
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
                    WHEN pg_visible_in_snapshot(
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
            (SELECT {LAST} FROM chunk)
        FROM compared"""


def gone_sql(above: Level, level: Level) -> str:
    """Look up one chunk of the id map in the original; answers (pairs, rows that are no longer
    there, last position)."""
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
        SELECT (SELECT count(*) FROM chunk), (SELECT count(*) FROM gone),
            (SELECT {LAST} FROM chunk)"""


WALKS = {LOOK: look_sql, PRESENT: present_sql, GONE: gone_sql}


def in_copy(level: Level, *, row: str, parent: str = "") -> dict[str, str]:
    """What the copy's columns should hold, as SQL over the original's `row` (an alias, with
    `has_link`) and its new parent: links and files read as they belong in the copy."""
    values = {level.parent_column: parent} if level.parent else {}
    for column in level.copied:
        if column in level.text_fields:
            values[column] = text_sql(level, column, row=row)
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
