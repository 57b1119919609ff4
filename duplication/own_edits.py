"""Telling what our own hand did to a copy from what people did.

A row of the copy is nobody's work if it is as it was copied, or as our own hand left it last:
mending a link, catching up with the original, or, for the episode's own row, completing the
copy. Decided by content, never by times: two edits may share a moment, and one made by SQL
leaves no time at all.
"""

from __future__ import annotations

from django.db import connection

from duplication.drift import copy_hash_sql, in_copy
from duplication.levels import EPISODE, Level
from duplication.models import DriftFinding, Duplication, OwnEdit
from duplication.walk import columns_sql, one, row_hash_sql

# Of the episode's own row all that a person, or a generation, may have set. Not its status: that
# is asked for by itself, and hiding a copy changes it.
EPISODE_COLUMNS = (
    *EPISODE.copied,
    *(each for each in EPISODE.reset if each not in ("created_at", "updated_at", "status")),
)


def hash_sql(level: Level, *, row: str) -> str:
    """What is kept of a row of the copy (an alias) and compared later."""
    if level is EPISODE:
        return row_hash_sql(*(f"{row}.{column}" for column in EPISODE_COLUMNS))
    return copy_hash_sql(level, row=row)


def is_own_sql(level: Level, *, row: str) -> str:
    """Whether `row` (an alias) of the copy is as our own hand left it last. Parameter:
    duplication. A look-up per row: as a join it would read all that is kept for each of them."""
    return f"""coalesce((
        SELECT own.row_hash FROM {OwnEdit._meta.db_table} own
        WHERE own.duplication_id = %(duplication)s AND own.type = '{level.node}'
            AND own.new_id = {row}.id
    ) = {hash_sql(level, row=row)}, false)"""


def keep_sql(level: Level, rows: str) -> str:
    """Keep `rows` (a FROM item with `id` and `row_hash`) as our own hand has just left them.
    Parameter: duplication."""
    return f"""
        INSERT INTO {OwnEdit._meta.db_table} (duplication_id, type, new_id, row_hash)
        SELECT %(duplication)s::bigint, '{level.node}', id, row_hash FROM {rows}
        ON CONFLICT (duplication_id, type, new_id) DO UPDATE SET row_hash = excluded.row_hash"""


def is_untouched_sql(above: Level, level: Level, *, org_id: str) -> str:
    """Whether no person's work is in the row `n` of the copy: it says what its original `o` (of
    the id `org_id`, with `original_sql`) says, it is as it was when drift was looked for, or as
    our own hand left it. Not known of a row whose original was edited later: then false."""
    parent = f"""(
        SELECT p.new_id FROM id_map p WHERE p.duplication_id = %(duplication)s
            AND p.type = '{above.node}' AND p.org_id = o.{level.parent_column}
    )"""
    same = " AND ".join(
        f"{value} IS NOT DISTINCT FROM n.{column}"
        for column, value in in_copy(level, row="o", parent=parent).items()
    )
    return f"""({same} OR {is_own_sql(level, row="n")} OR EXISTS (
        SELECT 1 FROM {DriftFinding._meta.db_table} d
        WHERE d.duplication_id = %(duplication)s AND d.type = '{level.node}'
            AND d.org_id = {org_id} AND d.copy_hash = {copy_hash_sql(level, row="n")}
    ))"""


def original_sql(level: Level, *, org_id: str) -> str:
    """The original's row with what `is_untouched_sql` reads of it, for a LATERAL."""
    columns = columns_sql(level, "id", "updated_at", level.parent_column)
    return f"SELECT {columns} FROM {level.table} c WHERE c.id = {org_id}"


def is_untouched(duplication: Duplication, above: Level, level: Level, new_id: int) -> bool:
    """Whether no person's work is in this row of the copy, as far as that can be known."""
    with connection.cursor() as cursor:
        (answer,) = one(
            cursor,
            f"""
            SELECT {is_untouched_sql(above, level, org_id="n.orig_id")} FROM {level.table} n
            LEFT JOIN LATERAL ({original_sql(level, org_id="n.orig_id")}) o ON true
            WHERE n.id = %(id)s""",
            {"duplication": duplication.pk, "id": new_id},
        )
    return bool(answer)


def is_episode_untouched(duplication: Duplication) -> bool:
    """The same of the copy's own row, which must be there."""
    with connection.cursor() as cursor:
        kept, is_own, is_saved, title = one(
            cursor,
            f"""
            SELECT EXISTS (
                    SELECT 1 FROM {OwnEdit._meta.db_table} WHERE duplication_id = %(duplication)s
                        AND type = '{EPISODE.node}' AND new_id = n.id
                ), {is_own_sql(EPISODE, row="n")}, n.updated_at <> n.created_at, n.title
            FROM {EPISODE.table} n WHERE n.id = %(id)s""",
            {"duplication": duplication.pk, "id": duplication.new_episode_id},
        )
    # Of a copy that was completed before this was kept the times are all there is.
    return is_own if kept else not is_saved and title == duplication.title


def keep(duplication: Duplication, level: Level, new_id: int) -> None:
    """Keep this row of the copy as our own hand has just left it, in the caller's transaction."""
    rows = f"""(
        SELECT n.id, {hash_sql(level, row="n")} AS row_hash FROM {level.table} n
        WHERE n.id = %(id)s
    ) AS n"""
    with connection.cursor() as cursor:
        cursor.execute(keep_sql(level, rows), {"duplication": duplication.pk, "id": new_id})


def keep_episode(duplication: Duplication) -> None:
    """Keep the copy's own row as it is when the copy is complete."""
    if duplication.new_episode_id is not None:
        keep(duplication, EPISODE, duplication.new_episode_id)
