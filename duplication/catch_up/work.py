"""Applying the edits that were found, a chunk of findings at a time."""

from __future__ import annotations

from typing import Any

from django.db import connection

from duplication.drift import copy_hash_sql, in_copy
from duplication.levels import NOW, TREE, Level
from duplication.links import list_again
from duplication.media.names import is_unsettled_sql
from duplication.models import CatchUpJob, DriftFinding, Duplication
from duplication.own_edits import hash_sql, is_own_sql, keep_sql
from duplication.walk import columns_sql, one
from operations.work import Step, Work

EDITED = DriftFinding.Change.EDITED
OPEN, APPLIED, KEPT, GONE = (
    DriftFinding.State.OPEN,
    DriftFinding.State.APPLIED,
    DriftFinding.State.KEPT,
    DriftFinding.State.GONE,
)


AGAIN = "Rows name another file since this catch-up began: catch up once more"


class ApplyEdits(Work[CatchUpJob]):
    """Cursor: [index of the level, id of the finding after which to go on].

    A row of the copy takes over what the original's row says *now*. One that was edited in
    the copy since the finding is left as it is, and so is one whose original is gone; both
    are told. One that names another file since the files were copied stays open.
    """

    initial_size = 500
    min_size = 20
    max_size = 5_000

    def step(self, job: CatchUpJob, size: int, prepared: Any) -> Step:
        index, after = job.cursor or [0, 0]
        above, level = (TREE[index - 1] if index else None), TREE[index]
        duplication = job.catch_up.duplication
        duplication_id = duplication.pk
        has_files = duplication.media_strategy == Duplication.MediaStrategy.COPY
        # Before any of them is applied, and open no more.
        total = None if job.cursor else open_edits(duplication_id).count()
        with connection.cursor() as cursor:
            rows, applied, kept, gone, unready, last = one(
                cursor,
                apply_sql(above, level, has_files=has_files),
                {"duplication": duplication_id, "after": after, "size": size},
            )
            if applied and level.text_fields:
                list_again(cursor, level, duplication_id=duplication_id, new_ids=applied)
        reached = [index, last] if rows == size else [index + 1, 0]
        return Step(
            cursor=reached,
            finished=reached[0] == len(TREE),
            rows=rows,
            done=rows,
            total=total,
            counts={"applied": len(applied or ()), "kept": kept, "gone": gone, "open": unready},
            notes=[{"message": AGAIN, "amount": unready}] if unready else [],
        )


def open_edits(duplication_id: int) -> Any:
    return DriftFinding.objects.filter(
        duplication=duplication_id, change=EDITED, state=OPEN, type__in=_TYPES
    )


_TYPES = [level.node for level in TREE]


def apply_sql(above: Level | None, level: Level, *, has_files: bool) -> str:
    """One chunk of a level, which is the root where there is none `above`; answers (findings,
    ids of the rows applied to, kept, gone, still open, last finding). `has_files`: the copy
    has files of its own.

    The copy's rows are locked before they are compared, so an edit of theirs that commits
    meanwhile is seen and not overwritten. What is applied is kept as our own hand's.
    """
    original, new_parent = columns_sql(level, "id"), ""
    if above:
        original += f", c.{level.parent_column} AS org_parent"
        new_parent = f"""LEFT JOIN id_map p ON p.duplication_id = %(duplication)s
                AND p.type = '{above.node}' AND p.org_id = o.org_parent"""
    values = in_copy(level, row="o", parent=f"coalesce(p.new_id, n.{level.parent_column})")
    columns = ", ".join(f"{value} AS {column}" for column, value in values.items())
    sets = ", ".join(f"{column} = edit.{column}" for column in values)
    is_unready = "false"
    if has_files and "media" in level.copied:
        is_unready = is_unsettled_sql("o.media")
    # What is applied to is as it was found; of the root that says nothing of its title and so on.
    is_ours = "true" if above else is_own_sql(level, row="n")
    return f"""
        WITH chunk AS MATERIALIZED (
            SELECT id AS finding, org_id, new_id, copy_hash
            FROM {DriftFinding._meta.db_table}
            WHERE duplication_id = %(duplication)s AND change = '{EDITED.value}'
                AND type = '{level.node}' AND state = '{OPEN.value}' AND id > %(after)s
            ORDER BY id LIMIT %(size)s
        ),
        held AS MATERIALIZED (
            SELECT c.* FROM chunk JOIN {level.table} c ON c.id = chunk.new_id FOR UPDATE OF c
        ),
        edit AS MATERIALIZED (
            SELECT chunk.finding, n.id,
                CASE WHEN n.id IS NULL OR o.id IS NULL THEN '{GONE.value}'
                    WHEN {copy_hash_sql(level, row="n")} <> chunk.copy_hash THEN '{KEPT.value}'
                    WHEN {is_unready} THEN '{OPEN.value}'
                    ELSE '{APPLIED.value}' END AS state,
                {is_ours} AS is_ours, {columns}
            FROM chunk
            LEFT JOIN held n ON n.id = chunk.new_id
            LEFT JOIN LATERAL (
                SELECT {original} FROM {level.table} c WHERE c.id = chunk.org_id
            ) o ON true
            {new_parent}
        ),
        written AS (
            UPDATE {level.table} SET {sets}, updated_at = {NOW} FROM edit
            WHERE {level.table}.id = edit.id AND edit.state = '{APPLIED.value}'
            RETURNING {level.table}.id, {hash_sql(level, row=level.table)} AS row_hash, is_ours
        ),
        own AS ({keep_sql(level, "written WHERE is_ours")}),
        told AS (
            UPDATE {DriftFinding._meta.db_table} finding SET state = edit.state FROM edit
            WHERE finding.id = edit.finding
        )
        SELECT count(*), array_agg(id) FILTER (WHERE state = '{APPLIED.value}'),
            count(*) FILTER (WHERE state = '{KEPT.value}'),
            count(*) FILTER (WHERE state = '{GONE.value}'),
            count(*) FILTER (WHERE state = '{OPEN.value}'), max(finding)
        FROM edit"""
