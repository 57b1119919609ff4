"""Proving that the copy is the original before anybody sees it.

Per level three walks, in bounded chunks:

- *copy*: the rows below the new episode, found from the top down, so that every one has
  its parent inside the copy. Their number and checksum must be what was read from the
  original when they were copied.
- *map*: the id map's pairs must be exactly the pairs of ids the copy's rows have.
- *original*: the rows that belong to the copy must all be in the id map. A row missing
  there that was in the original when the copy began is an omission; one that arrived
  since, or has gone since, is drift, and is counted.

Sums of 64-bit hashes rather than counts: thirty missing and thirty too many don't cancel
out. Only where a sum differs are rows compared one by one, to say which.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

from django.db import connection

from content.models import Episode
from duplication.exceptions import OriginalEpisodeNotFound, VerificationFailed
from duplication.levels import CHILD_LEVELS, EPISODE, Level
from duplication.models import Duplication, DuplicationJob
from duplication.walk import (
    LAST,
    Position,
    checksum_sql,
    columns_sql,
    one,
    plan_for_walking,
    row_hash_sql,
    walk_sql,
)
from operations.work import Step, Work

PASSES = ("copy", "map", "original")
EXAMPLES = 20
# A row is a newcomer only if it was also created about when the copy began or later.
CLOCK_TOLERANCE = dt.timedelta(seconds=60)


class VerifyCopy(Work[DuplicationJob]):
    """One of the walks, over all levels; the three run side by side.

    Parameters: {"pass"}. Cursor: [index of the level, [parent, id] after which to go on].
    """

    initial_size = 20_000
    min_size = 500
    max_size = 200_000

    def step(self, job: DuplicationJob, size: int, prepared: Any) -> Step:
        index, at = job.cursor or [0, [0, 0]]
        above, level = CHILD_LEVELS[index]
        name = job.parameters["pass"]
        position = Position(*at)
        with connection.cursor() as cursor:
            plan_for_walking(cursor)
            rows, checksum, ids, pairs, last = one(
                cursor,
                PASS_SQL[name](above, level),
                {
                    "duplication": job.duplication_id,
                    "parent": position.parent,
                    "id": position.id,
                    "high_water": job.duplication.high_water[level.stage],
                    "size": size,
                },
            )
        reached = [index, last] if rows == size else [index + 1, [0, 0]]
        sums = {"rows": rows, "checksum": checksum, "ids": ids, "pairs": pairs}
        is_leading = name == PASSES[0]
        return Step(
            cursor=reached,
            finished=reached[0] == len(CHILD_LEVELS),
            rows=rows,
            done=rows if is_leading else 0,
            total=_rows_copied(job.duplication) if is_leading and not job.cursor else None,
            counts={f"{level.stage}.{key}": int(value) for key, value in sums.items()},
        )


class JudgeCopy(Work[DuplicationJob]):
    """Compares the walks' sums, then acts on the verdict: two steps, so that the report of
    a copy that is not equal is kept."""

    def step(self, job: DuplicationJob, size: int, prepared: Any) -> Step:
        duplication = job.duplication
        if job.cursor is None:
            duplication.report = _report(duplication)
            duplication.save(update_fields=["report", "updated_at"])
            return Step(cursor="judged", finished=False)
        if not Episode.objects.filter(pk=duplication.org_episode_id).exists():
            raise OriginalEpisodeNotFound(duplication.org_episode_id)
        if not duplication.report["verified"]:
            found = [
                f"{level['stage']}: {difference}"
                for level in duplication.report["levels"]
                for difference in level["differences"]
            ]
            raise VerificationFailed("The copy is not equal to its original. " + " ".join(found))
        copy_id = cast(int, duplication.new_episode_id)
        Episode.objects.filter(pk=copy_id).update(status=Episode.Status.DRAFT)
        return Step(
            cursor="published",
            finished=True,
            notes=[{"stage": job.stage, "message": "The copy is verified."}],
        )


def _copy_sql(above: Level, level: Level) -> str:
    checksum = checksum_sql(level, parent="parent_org", identity="orig_id", row="chunk")
    return _sums_sql(
        walk_sql(above, level, side="new", columns=columns_sql(level, "id", "orig_id")),
        checksum=checksum,
        ids="hashint8extended(orig_id, 0)",
        pairs=row_hash_sql("orig_id", "id"),
    )


def _original_sql(above: Level, level: Level) -> str:
    return _sums_sql(
        walk_sql(above, level, side="org", columns="c.id"),
        checksum="0",
        ids="hashint8extended(id, 0)",
        pairs="0",
    )


def _map_sql(above: Level, level: Level) -> str:
    chunk = f"""
        SELECT org_id AS parent_org, org_id AS id, new_id FROM id_map
        WHERE duplication_id = %(duplication)s AND type = '{level.node}' AND org_id > %(id)s
        ORDER BY org_id LIMIT %(size)s"""
    return _sums_sql(
        chunk,
        checksum="0",
        ids="hashint8extended(id, 0)",
        pairs=row_hash_sql("id", "new_id"),
    )


def _sums_sql(chunk: str, *, checksum: str, ids: str, pairs: str) -> str:
    return f"""
        SELECT count(*), coalesce(sum({checksum}), 0), coalesce(sum({ids}), 0),
            coalesce(sum({pairs}), 0), {LAST}
        FROM ({chunk}) AS chunk"""


PASS_SQL = {"copy": _copy_sql, "map": _map_sql, "original": _original_sql}


def _copied(duplication: Duplication, stage: str) -> dict[str, int]:
    """What the level's copying jobs read, summed over its lanes."""
    sums = {"rows": 0, "checksum": 0, "ids": 0}
    for counts in duplication.jobs.filter(stage=stage).values_list("counts", flat=True):
        for key in sums:
            sums[key] += counts.get(key, 0)
    return sums


def _rows_copied(duplication: Duplication) -> int:
    return sum(_copied(duplication, level.stage)["rows"] for _, level in CHILD_LEVELS)


def _links(duplication: Duplication) -> dict[str, int]:
    counts = duplication.jobs.filter(stage="links").values_list("counts", flat=True).get()
    return {
        "rewritten": counts.get("links_rewritten", 0),
        "kept": counts.get("links_kept", 0),
    }


def _report(duplication: Duplication) -> dict[str, Any]:
    walked = {
        job.parameters["pass"]: job.counts
        for job in duplication.jobs.filter(name=VerifyCopy.__name__)
    }
    levels = [_root_report(duplication)]
    levels += [_level_report(duplication, walked, above, level) for above, level in CHILD_LEVELS]
    return {
        "verified": not any(level["differences"] for level in levels),
        "levels": levels,
        "links": _links(duplication),
    }


def _root_report(duplication: Duplication) -> dict[str, Any]:
    checksum = checksum_sql(EPISODE, parent="0", identity="e.orig_id", row="e")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {checksum} FROM {EPISODE.table} e WHERE id = %s",
            [duplication.new_episode_id],
        )
        found = [int(value) for (value,) in cursor.fetchall()]
    same = found == [_copied(duplication, EPISODE.stage)["checksum"]]
    return {
        "stage": EPISODE.stage,
        "source": 1,
        "copy": len(found),
        "arrived_since": 0,
        "gone_since": 0,
        "differences": [] if same else ["The episode's own row is not as it was copied."],
    }


def _level_report(
    duplication: Duplication, walked: dict[str, dict[str, int]], above: Level, level: Level
) -> dict[str, Any]:
    copied = _copied(duplication, level.stage)
    copy, mapped, original = (
        {
            key: walked[name].get(f"{level.stage}.{key}", 0)
            for key in ("rows", "checksum", "ids", "pairs")
        }
        for name in PASSES
    )
    differences = []
    if copy["rows"] != copied["rows"]:
        differences.append(f"{copied['rows']} rows were copied, the copy has {copy['rows']}.")
    if copy["checksum"] != copied["checksum"]:
        differences.append("Rows of the copy are not what was read from the original.")
    if (copy["rows"], copy["pairs"]) != (mapped["rows"], mapped["pairs"]) or (
        copied["ids"] != mapped["ids"]
    ):
        differences.append("The id map doesn't say which row became which.")
    arrived = gone = 0
    if (original["rows"], original["ids"]) != (mapped["rows"], mapped["ids"]):
        omitted, arrived, gone = _compare_with_original(duplication, above, level)
        if omitted:
            ids = ", ".join(map(str, omitted))
            differences.append(f"Rows of the original were left out: {level.node} {ids}.")
    return {
        "stage": level.stage,
        "source": original["rows"] - arrived,
        "copy": copy["rows"],
        "arrived_since": arrived,
        "gone_since": gone,
        "differences": differences,
    }


def _compare_with_original(
    duplication: Duplication, above: Level, level: Level
) -> tuple[list[int], int, int]:
    """(ids left out, at most EXAMPLES; rows that arrived since; mapped rows gone since).

    A row is left out if it was visible when the copy began. `xmin` has 32 bits; the 64-bit
    id it stands for is the largest one with these bits that is not in the future.
    """
    members = f"""
        SELECT c.id, c.created_at, pg_visible_in_snapshot(
                (now.xid - mod(now.xid - c.xmin::text::bigint + 4294967296, 4294967296)
                )::text::xid8, %(snapshot)s::pg_snapshot) AS was_there
        FROM id_map p JOIN {level.table} c ON c.{level.parent_column} = p.org_id,
            (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xid) now
        WHERE p.duplication_id = %(duplication)s AND p.type = '{above.node}'
            AND c.id <= %(high_water)s"""
    parameters = {
        "duplication": duplication.pk,
        "high_water": duplication.high_water[level.stage],
        "snapshot": duplication.high_water["snapshot"],
        "newcomers_from": duplication.created_at - CLOCK_TOLERANCE,
        "examples": EXAMPLES,
    }
    mapped = f"""
        SELECT 1 FROM id_map m WHERE m.duplication_id = %(duplication)s
            AND m.type = '{level.node}' AND m.org_id = members.id"""
    with connection.cursor() as cursor:
        missing = f"""
            WITH members AS ({members}),
            missing AS (
                SELECT id, was_there OR created_at < %(newcomers_from)s AS omitted
                FROM members WHERE NOT EXISTS ({mapped})
            )
            SELECT (SELECT array_agg(id) FROM (
                    SELECT id FROM missing WHERE omitted ORDER BY id LIMIT %(examples)s
                ) first), (SELECT count(*) FROM missing WHERE NOT omitted)"""
        omitted, arrived = one(cursor, missing, parameters)
        (gone,) = one(
            cursor,
            f"""
            SELECT count(*) FROM id_map m
            WHERE m.duplication_id = %(duplication)s AND m.type = '{level.node}'
                AND NOT EXISTS (
                    SELECT 1 FROM {level.table} c JOIN id_map p
                        ON p.duplication_id = m.duplication_id AND p.type = '{above.node}'
                        AND p.org_id = c.{level.parent_column}
                    WHERE c.id = m.org_id
                )""",
            parameters,
        )
    return omitted or [], arrived, gone
