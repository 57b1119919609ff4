"""After the rows: links in the copied text that point into the original point into the copy.

Only rows that may hold a link are looked at (the id map knows them), a chunk of them at a
time. Links to elsewhere and to nothing stay as they are and are listed (`LinkFinding`), and
so do two sorts that lead into the original still: to a row that was added there since, and
all links of a field that has no room for the copy's ids, which may be longer. Mending those
is `duplication.mending`'s.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

from content.links import LINK_PATTERN
from duplication.levels import BLOCKS, ITEMS, PARTS, TREE, Level
from duplication.models import Duplication, DuplicationJob, IdMap, LinkFinding
from duplication.walk import one
from operations.work import Step, Work

# The links that content.links.linked_ids finds, in PostgreSQL's dialect: the whole key is an
# id, but for full stops that end a sentence. Eighteen digits always fit a bigint.
LINK = r"(?<![A-Za-z0-9._~/-])content:(part|item|block)/([1-9][0-9]{0,17})(?!\.*[A-Za-z0-9_~-])"
ID = "^[1-9][0-9]{0,17}$"
EXTERNAL, UNRESOLVED, ORIGINAL = (
    LinkFinding.Target.EXTERNAL.value,
    LinkFinding.Target.UNRESOLVED.value,
    LinkFinding.Target.ORIGINAL.value,
)


class RewriteLinks(Work[DuplicationJob]):
    """Cursor: [index of the level, new id after which to go on]."""

    initial_size = 1_000
    min_size = 20
    max_size = 10_000

    def step(self, job: DuplicationJob, size: int, prepared: Any) -> Step:
        index, after = job.cursor or [0, 0]
        level = TREE[index]
        rows, rewritten, external, unresolved, original, last = 0, 0, 0, 0, 0, None
        with connection.cursor() as cursor:
            # Compiling the statement takes longer than a chunk of it.
            cursor.execute("SELECT set_config('jit', 'off', true)")
            if job.cursor is None:
                # Without statistics of what the copy has just written the planner looks a
                # link up through the wrong index, and reads the whole level for each.
                cursor.execute("ANALYZE (SKIP_LOCKED) id_map")
            if level.text_fields:
                rows, rewritten, external, unresolved, original, last = one(
                    cursor,
                    rewrite_sql(level),
                    {"duplication": job.duplication_id, "after": after, "size": size},
                )
        cursor_after = [index, last] if rows == size else [index + 1, 0]
        return Step(
            cursor=cursor_after,
            finished=cursor_after[0] == len(TREE),
            rows=rows,
            done=rows,
            total=None if job.cursor else self._total(job),
            counts={
                "rows": rows,
                "links_rewritten": rewritten,
                "links_external": external,
                "links_unresolved": unresolved,
                "links_original": original,
            },
        )

    def _total(self, job: DuplicationJob) -> int:
        return IdMap.objects.filter(duplication=job.duplication_id, has_link=True).count()


def rewrite_sql(level: Level) -> str:
    """Rewrite one chunk and list what is left as it is; answers (rows, links rewritten, links
    to elsewhere, links to nothing, links into the original, last new id).

    A text is taken apart into what stands between its links and the links themselves, each
    link is looked up in the id map, and the text is put together again in order. All parts
    of the statement see the rows as they were before it.
    """
    sets = ", ".join(f"{column} = found.{column}" for column in level.text_fields)
    columns = ", ".join(f"{column}_.text AS {column}" for column in level.text_fields)
    rewritten = " + ".join(f"{column}_.rewritten" for column in level.text_fields)
    return f"""
        WITH chunk AS MATERIALIZED (
            SELECT new_id FROM id_map
            WHERE duplication_id = %(duplication)s AND type = '{level.node}' AND has_link
                AND new_id > %(after)s
            ORDER BY new_id LIMIT %(size)s
        ),
        found AS MATERIALIZED (
            SELECT row.id, {columns}, {rewritten} AS rewritten
            FROM chunk JOIN {level.table} row ON row.id = chunk.new_id,
                {_rewritten_sql(level, row="row")}
        ),
        written AS (
            UPDATE {level.table} SET {sets} FROM found
            WHERE {level.table}.id = found.id AND found.rewritten > 0
        ),
        kept AS MATERIALIZED (
            {_kept_sql(level, f"chunk JOIN {level.table} row ON row.id = chunk.new_id")}
        ),
        listed AS ({_list_sql(level)})
        SELECT (SELECT count(*) FROM chunk),
            (SELECT coalesce(sum(rewritten), 0)::bigint FROM found),
            (SELECT count(*) FROM kept WHERE points_to = '{EXTERNAL}'),
            (SELECT count(*) FROM kept WHERE points_to = '{UNRESOLVED}'),
            (SELECT count(*) FROM kept WHERE points_to = '{ORIGINAL}'),
            (SELECT max(new_id) FROM chunk)"""


def text_sql(level: Level, column: str, *, row: str) -> str:
    """The text of a field of `row` (an alias, with `has_link`) as it belongs in the copy."""
    text = f"{row}.{column}"
    return f"""
        CASE WHEN {row}.has_link THEN (
            SELECT {_fitting_sql(level, column, text)} FROM {_pieces_sql(text)}
        ) ELSE {text} END"""


def _rewritten_sql(level: Level, *, row: str) -> str:
    """For each text field of `row` a lateral item `<field>_` with its `text` as it belongs in
    the copy, and how many links were `rewritten` for that."""
    return ", ".join(
        f"""
        LATERAL (
            SELECT {_fitting_sql(level, column, f"{row}.{column}")} AS text,
                CASE WHEN {_is_too_long_sql(level, column)} THEN 0
                    ELSE count(target.new_id) END AS rewritten
            FROM {_pieces_sql(f"{row}.{column}")}
        ) AS {column}_"""
        for column in level.text_fields
    )


def _fitting_sql(level: Level, column: str, text: str) -> str:
    """The rewritten text, or `text` as it is where the field has no room for that. Over
    `_pieces_sql(text)`."""
    if level.limit(column) is None:
        return REWRITTEN
    return f"CASE WHEN {_is_too_long_sql(level, column)} THEN {text} ELSE {REWRITTEN} END"


def _is_too_long_sql(level: Level, column: str) -> str:
    limit = level.limit(column)
    return "false" if limit is None else f"coalesce(char_length({REWRITTEN}) > {limit}, false)"


REWRITTEN = """string_agg(
                piece.text || CASE WHEN link.parts IS NULL THEN ''
                    ELSE 'content:' || link.parts[1] || '/'
                        || coalesce(target.new_id::text, link.parts[2]) END,
                '' ORDER BY piece.n)"""


def _pieces_sql(text: str) -> str:
    return f"""
            regexp_split_to_table({text}, '{LINK}') WITH ORDINALITY AS piece(text, n)
            LEFT JOIN regexp_matches({text}, '{LINK}', 'g') WITH ORDINALITY
                AS link(parts, n) ON link.n = piece.n
            LEFT JOIN id_map target ON target.duplication_id = %(duplication)s
                AND target.type = link.parts[1] AND target.org_id = link.parts[2]::bigint"""


def left_sql(level: Level, *, row: str) -> str:
    """How many links in the text of `row` (an alias, with `has_link` and the copy's `id`)
    point to what was copied: none, once they have been rewritten, but for those that are
    listed because their field had no room."""
    return f"""
        CASE WHEN {row}.has_link THEN (
            SELECT count(*) FROM (VALUES {_texts(level, row)}) AS texts(field, text),
                regexp_matches(texts.text, '{LINK}', 'g') AS link(parts)
            JOIN id_map target ON target.duplication_id = %(duplication)s
                AND target.type = link.parts[1] AND target.org_id = link.parts[2]::bigint
            WHERE NOT EXISTS (
                SELECT 1 FROM {LinkFinding._meta.db_table} listed
                WHERE listed.duplication_id = %(duplication)s AND listed.type = '{level.node}'
                    AND listed.new_id = {row}.id AND listed.field = texts.field
                    AND listed.target_type = link.parts[1]
                    AND md5(listed.target_key) = md5(link.parts[2])
                    AND listed.points_to = '{ORIGINAL}'
            )
        ) ELSE 0 END"""


def list_again(cursor: Any, level: Level, *, duplication_id: int, new_ids: list[int]) -> None:
    """List the kept links of these rows of the copy anew, from the original's text, which
    they have just taken over."""
    LinkFinding.objects.filter(
        duplication=duplication_id, type=level.node, new_id__in=new_ids
    ).delete()
    columns = ", ".join(f"o.{column}" for column in level.text_fields)
    rows = f"""(
        SELECT n.id, {columns} FROM {level.table} n JOIN {level.table} o ON o.id = n.orig_id
        WHERE n.id = ANY(%(new_ids)s)
    ) AS row"""
    cursor.execute(
        f"WITH kept AS MATERIALIZED ({_kept_sql(level, rows)}) {_list_sql(level)}",
        {"duplication": duplication_id, "new_ids": new_ids},
    )


def _list_sql(level: Level) -> str:
    return f"""
        INSERT INTO {LinkFinding._meta.db_table} (duplication_id, points_to, type, new_id,
            field, target_type, target_key, target_episode_id)
        SELECT DISTINCT %(duplication)s::bigint, points_to, '{level.node}', id, field,
            target_type, target_key, episode_id
        FROM kept
        ON CONFLICT DO NOTHING"""


def _kept_sql(level: Level, rows: str) -> str:
    """The links in `rows` (a FROM item with an alias `row` for the copy's id and the original's
    texts) that stay as they are, and where they lead."""
    return f"""
        SELECT written.id, written.field, written.target_type, written.target_key,
            place.episode_id,
            CASE WHEN target.new_id IS NOT NULL OR place.episode_id = (
                    SELECT org_episode_id FROM {Duplication._meta.db_table}
                    WHERE id = %(duplication)s
                ) THEN '{ORIGINAL}'
                WHEN place.episode_id IS NULL THEN '{UNRESOLVED}'
                ELSE '{EXTERNAL}' END AS points_to
        FROM (
            SELECT row.id, texts.field, texts.is_too_long, link.parts[1] AS target_type,
                key.text AS target_key,
                CASE WHEN key.text ~ '{ID}' THEN key.text::bigint END AS target_id
            FROM {rows}
            CROSS JOIN LATERAL (VALUES {_texts_with_room_sql(level, "row")})
                AS texts(field, text, is_too_long)
            CROSS JOIN LATERAL regexp_matches(texts.text, '{LINK_PATTERN}', 'g') AS link(parts)
            CROSS JOIN LATERAL (
                SELECT coalesce(nullif(rtrim(link.parts[2], '.'), ''), link.parts[2])
            ) AS key(text)
        ) AS written
        LEFT JOIN LATERAL (
            SELECT episode_id FROM {PARTS.table} WHERE written.target_type = '{PARTS.node}'
                AND id = written.target_id
            UNION ALL
            SELECT p.episode_id FROM {ITEMS.table} i JOIN {PARTS.table} p ON p.id = i.part_id
            WHERE written.target_type = '{ITEMS.node}' AND i.id = written.target_id
            UNION ALL
            SELECT p.episode_id FROM {BLOCKS.table} b JOIN {ITEMS.table} i ON i.id = b.item_id
                JOIN {PARTS.table} p ON p.id = i.part_id
            WHERE written.target_type = '{BLOCKS.node}' AND b.id = written.target_id
        ) AS place ON true
        -- The limit keeps the planner from reading the whole map for each chunk.
        LEFT JOIN LATERAL (
            SELECT new_id FROM id_map WHERE duplication_id = %(duplication)s
                AND type = written.target_type AND org_id = written.target_id LIMIT 1
        ) AS target ON true
        WHERE target.new_id IS NULL OR written.is_too_long"""


def _texts_with_room_sql(level: Level, row: str) -> str:
    """Each field, its text, and whether its links were kept for want of room."""
    values = []
    for column in level.text_fields:
        text, is_too_long = f"{row}.{column}", "false"
        if level.limit(column) is not None:
            pieces = _pieces_sql(text)
            is_too_long = f"(SELECT {_is_too_long_sql(level, column)} FROM {pieces})"
        values.append(f"('{column}', {text}, {is_too_long})")
    return ", ".join(values)


def _texts(level: Level, row: str) -> str:
    return ", ".join(f"('{column}', {row}.{column})" for column in level.text_fields)
