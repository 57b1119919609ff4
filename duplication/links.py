"""After the rows: links in the copied text that point into the original point into the copy.

Only rows that may hold a link are looked at (the id map knows them), a chunk of them at a
time. Links to elsewhere stay as they are.
"""

from __future__ import annotations

from typing import Any

from django.db import connection

from duplication.levels import TREE, Level
from duplication.models import DuplicationJob, IdMap
from duplication.walk import one
from operations.work import Step, Work

# The links that content.links.linked_ids finds, in PostgreSQL's dialect: the whole key is an
# id, but for full stops that end a sentence. Eighteen digits always fit a bigint.
LINK = r"(?<![A-Za-z0-9._~/-])content:(part|item|block)/([1-9][0-9]{0,17})(?!\.*[A-Za-z0-9_~-])"


class RewriteLinks(Work[DuplicationJob]):
    """Cursor: [index of the level, new id after which to go on]."""

    initial_size = 1_000
    min_size = 20
    max_size = 10_000

    def step(self, job: DuplicationJob, size: int, prepared: Any) -> Step:
        index, after = job.cursor or [0, 0]
        level = TREE[index]
        rows, rewritten, kept, last = 0, 0, 0, None
        if level.text_fields:
            with connection.cursor() as cursor:
                rows, rewritten, kept, last = one(
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
            counts={"rows": rows, "links_rewritten": rewritten, "links_kept": kept},
        )

    def _total(self, job: DuplicationJob) -> int:
        return IdMap.objects.filter(duplication=job.duplication_id, has_link=True).count()


def rewrite_sql(level: Level) -> str:
    """Rewrite one chunk; answers (rows, links rewritten, links kept, last new id).

    A text is taken apart into what stands between its links and the links themselves, each
    link is looked up in the id map, and the text is put together again in order.
    """
    texts = [
        f"""
        LATERAL (
            SELECT string_agg(
                    piece.text || CASE WHEN link.parts IS NULL THEN ''
                        ELSE 'content:' || link.parts[1] || '/'
                            || coalesce(target.new_id::text, link.parts[2]) END,
                    '' ORDER BY piece.n) AS text,
                count(target.new_id) AS rewritten,
                count(link.parts) - count(target.new_id) AS kept
            FROM regexp_split_to_table(row.{column}, '{LINK}') WITH ORDINALITY AS piece(text, n)
            LEFT JOIN regexp_matches(row.{column}, '{LINK}', 'g') WITH ORDINALITY
                AS link(parts, n) ON link.n = piece.n
            LEFT JOIN id_map target ON target.duplication_id = %(duplication)s
                AND target.type = link.parts[1] AND target.org_id = link.parts[2]::bigint
        ) AS {column}_"""
        for column in level.text_fields
    ]
    sets = ", ".join(f"{column} = found.{column}" for column in level.text_fields)
    columns = ", ".join(f"{column}_.text AS {column}" for column in level.text_fields)
    rewritten = " + ".join(f"{column}_.rewritten" for column in level.text_fields)
    kept = " + ".join(f"{column}_.kept" for column in level.text_fields)
    return f"""
        WITH chunk AS (
            SELECT new_id FROM id_map
            WHERE duplication_id = %(duplication)s AND type = '{level.node}' AND has_link
                AND new_id > %(after)s
            ORDER BY new_id LIMIT %(size)s
        ),
        found AS MATERIALIZED (
            SELECT row.id, {columns}, {rewritten} AS rewritten, {kept} AS kept
            FROM chunk JOIN {level.table} row ON row.id = chunk.new_id,
                {", ".join(texts)}
        ),
        written AS (
            UPDATE {level.table} SET {sets} FROM found
            WHERE {level.table}.id = found.id AND found.rewritten > 0
        )
        SELECT (SELECT count(*) FROM chunk), coalesce(sum(rewritten), 0)::bigint,
            coalesce(sum(kept), 0)::bigint, (SELECT max(new_id) FROM chunk)
        FROM found"""
