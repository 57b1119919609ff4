"""Proving that the copy is the original before anybody sees it.

Per level three walks, in bounded chunks:

- *copy*: the rows below the new episode, found from the top down, so that every one has
  its parent inside the copy. Their number and checksum must be what was read from the
  original when they were copied, and no link in them may point to a row that was copied
  (but for those that are listed, because their field has no room for the new id).
- *map*: the id map's pairs must be exactly the pairs of ids the copy's rows have.
- *original*: the rows that belong to the copy, as they are now. Where their number and
  sums aren't what was copied, `duplication.drift` finds out which rows were edited, have
  gone or arrived since (drift, no fault), and which were left out (a fault). What changes
  behind this walk is seen by drift's own, which compares the `versions` of its rows.

Sums of 64-bit hashes rather than counts: thirty missing and thirty too many don't cancel
out.
"""

from __future__ import annotations

from typing import Any, cast

from django.db import connection

from content.models import Episode
from duplication.exceptions import OriginalEpisodeNotFound, VerificationFailed
from duplication.levels import CHILD_LEVELS, EPISODE, Level
from duplication.links import left_sql
from duplication.media import work as media
from duplication.media.names import is_original_sql, original_sql
from duplication.models import DriftFinding, Duplication, DuplicationJob
from duplication.walk import (
    LAST,
    Position,
    checksum_sql,
    columns_sql,
    links_hash_sql,
    one,
    plan_for_walking,
    row_hash_sql,
    walk_sql,
)
from operations.work import Step, Work

# Whatever is done to a row, its next version was written by another transaction, or stands
# elsewhere in the table. (Maintenance may move rows too: then they are compared for nothing.)
VERSION = ("xmin AS written_by", "ctid AS place")
VERSION_HASH = row_hash_sql("id", "written_by", "place")

PASSES = ("copy", "map", "original")
# What a walk adds up; `left` are links that still point into the original, `shared` rows that
# still name a file of the original although the copy has its own, `versions` the very rows.
SUMS = ("rows", "checksum", "ids", "links", "pairs", "left", "shared", "versions")
EXAMPLES = 20


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
        sums, last = walk_chunk(name, job.duplication, above, level, Position(*at), size)
        rows = sums["rows"]
        reached = [index, last] if rows == size else [index + 1, [0, 0]]
        is_leading = name == PASSES[0]
        return Step(
            cursor=reached,
            finished=reached[0] == len(CHILD_LEVELS),
            rows=rows,
            done=rows if is_leading else 0,
            total=_rows_copied(job.duplication) if is_leading and not job.cursor else None,
            counts={f"{level.stage}.{key}": value for key, value in sums.items()},
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
        original = Episode.objects.filter(pk=duplication.org_episode_id)
        if not original.exclude(status=Episode.Status.REMOVING).exists():
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
            notes=[{"stage": job.stage, "message": _told(duplication.report)}],
        )


def _told(report: dict[str, Any]) -> str:
    left = report["links"]["original"]
    if not left:
        return "The copy is verified."
    return (
        f"The copy is verified, but for links that lead into the original still ({left}): to rows "
        "added there since, or in fields that have no room for the copy's ids. They are listed, to "
        "be mended."
    )


def walk_chunk(
    name: str, duplication: Duplication, above: Level, level: Level, start: Position, size: int
) -> tuple[dict[str, int], list[int] | None]:
    """The sums over one chunk of the walk `name`, and the position of its last row. In the
    caller's transaction, whose plans are made for walking."""
    with connection.cursor() as cursor:
        plan_for_walking(cursor)
        *sums, last = one(
            cursor,
            PASS_SQL[name](duplication, above, level),
            {
                "duplication": duplication.pk,
                "parent": start.parent,
                "id": start.id,
                "high_water": duplication.high_water[level.stage],
                "size": size,
            },
        )
    return {key: int(value) for key, value in zip(SUMS, sums, strict=True)}, last


def _copy_sql(duplication: Duplication, above: Level, level: Level) -> str:
    own, instead, shared = ["id", "orig_id"], {}, {}
    if duplication.media_strategy == Duplication.MediaStrategy.COPY and "media" in level.copied:
        own.append("media AS file_name")
        instead["media"] = original_sql("c.media")
        shared["shared"] = f"CASE WHEN {is_original_sql('chunk.file_name')} THEN 1 ELSE 0 END"
    return _sums_sql(
        walk_sql(above, level, side="new", columns=columns_sql(level, *own, instead=instead)),
        checksum=checksum_sql(level, parent="parent_org", identity="orig_id", row="chunk"),
        ids="hashint8extended(orig_id, 0)",
        pairs=row_hash_sql("orig_id", "id"),
        left=left_sql(level, row="chunk"),
        **shared,
    )


def _original_sql(duplication: Duplication, above: Level, level: Level) -> str:
    return _sums_sql(
        walk_sql(above, level, side="org", columns=columns_sql(level, "id", *VERSION)),
        checksum=checksum_sql(level, parent="parent_org", identity="id", row="chunk"),
        ids="hashint8extended(id, 0)",
        links=links_hash_sql(level, identity="id", row="chunk"),
        versions=VERSION_HASH,
    )


def _map_sql(duplication: Duplication, above: Level, level: Level) -> str:
    chunk = f"""
        SELECT org_id AS parent_org, org_id AS id, new_id FROM id_map
        WHERE duplication_id = %(duplication)s AND type = '{level.node}' AND org_id > %(id)s
        ORDER BY org_id LIMIT %(size)s"""
    return _sums_sql(chunk, ids="hashint8extended(id, 0)", pairs=row_hash_sql("id", "new_id"))


def _sums_sql(chunk: str, **sums: str) -> str:
    values = [f"coalesce(sum({sums.get(key, '0')}), 0)" for key in SUMS[1:]]
    return f"SELECT count(*), {', '.join(values)}, {LAST} FROM ({chunk}) AS chunk"


PASS_SQL = {"copy": _copy_sql, "map": _map_sql, "original": _original_sql}


def _copied(duplication: Duplication, stage: str) -> dict[str, int]:
    """What the level's copying jobs read, summed over its lanes."""
    sums = {"rows": 0, "checksum": 0, "ids": 0, "links": 0}
    for counts in duplication.jobs.filter(stage=stage).values_list("counts", flat=True):
        for key in sums:
            sums[key] += counts.get(key, 0)
    return sums


def _rows_copied(duplication: Duplication) -> int:
    return sum(_copied(duplication, level.stage)["rows"] for _, level in CHILD_LEVELS)


def original_sums(duplication: Duplication, level: Level) -> dict[str, int]:
    """What the walk over the original summed up."""
    return _sums(_walked(duplication)["original"], level)


def changed_levels(duplication: Duplication) -> list[int]:
    """The places in CHILD_LEVELS of the levels whose original wasn't what was copied, or not
    what the id map says, when it was walked: rows were edited, have gone, arrived, or were left
    out. Known once VerifyCopy's walks are done."""
    walked = _walked(duplication)
    changed = []
    for index, (_, level) in enumerate(CHILD_LEVELS):
        original, mapped = (_sums(walked[name], level) for name in ("original", "map"))
        copied = _copied(duplication, level.stage)
        if copied != {key: original[key] for key in copied} or any(
            original[key] != mapped[key] for key in ("rows", "ids")
        ):
            changed.append(index)
    return changed


def _walked(duplication: Duplication) -> dict[str, dict[str, int]]:
    return {
        job.parameters["pass"]: job.counts
        for job in duplication.jobs.filter(name=VerifyCopy.__name__)
    }


def _sums(counts: dict[str, int], level: Level) -> dict[str, int]:
    return {key: counts.get(f"{level.stage}.{key}", 0) for key in SUMS}


def _report(duplication: Duplication) -> dict[str, Any]:
    walked = _walked(duplication)
    drift = duplication.jobs.values_list("counts", flat=True).get(stage="drift")
    links = duplication.jobs.values_list("counts", flat=True).get(stage="links")
    levels = [_root_report(duplication, drift)]
    levels += [_level_report(duplication, walked, drift, level) for _, level in CHILD_LEVELS]
    return {
        "verified": not any(level["differences"] for level in levels),
        "levels": levels,
        "links": {
            name: links.get(f"links_{name}", 0)
            for name in ("rewritten", "external", "unresolved", "original")
        },
        "media": media.report(duplication),
    }


def _root_report(duplication: Duplication, drift: dict[str, int]) -> dict[str, Any]:
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
        "edited_since": drift.get(f"{EPISODE.stage}.edited", 0),
        "arrived_since": 0,
        "gone_since": 0,
        "differences": [] if same else ["The episode's own row is not as it was copied."],
    }


def _level_report(
    duplication: Duplication, walked: dict[str, dict[str, int]], drift: dict[str, int], level: Level
) -> dict[str, Any]:
    copied = _copied(duplication, level.stage)
    copy, mapped = (_sums(walked[name], level) for name in ("copy", "map"))
    differences = []
    if copy["rows"] != copied["rows"]:
        differences.append(f"{copied['rows']} rows were copied, the copy has {copy['rows']}.")
    if copy["checksum"] != copied["checksum"]:
        differences.append("Rows of the copy are not what was read from the original.")
    if copy["left"]:
        differences.append(f"{copy['left']} links of the copy still point into the original.")
    if copy["shared"]:
        differences.append(f"{copy['shared']} rows of the copy still name files of the original.")
    if (copy["rows"], copy["pairs"]) != (mapped["rows"], mapped["pairs"]) or (
        copied["ids"] != mapped["ids"]
    ):
        differences.append("The id map doesn't say which row became which.")
    if drift.get(f"{level.stage}.omitted"):
        examples = duplication.drift_findings.filter(
            type=level.node, change=DriftFinding.Change.OMITTED
        ).order_by("org_id")[:EXAMPLES]
        ids = ", ".join(str(finding.org_id) for finding in examples)
        differences.append(f"Rows of the original were left out: {level.node} {ids}.")
    arrived = drift.get(f"{level.stage}.added", 0)
    return {
        "stage": level.stage,
        "source": drift.get(f"{level.stage}.rows", drift.get(f"{level.stage}.seen", 0)) - arrived,
        "copy": copy["rows"],
        "edited_since": drift.get(f"{level.stage}.edited", 0),
        "arrived_since": arrived,
        "gone_since": drift.get(f"{level.stage}.deleted", 0),
        "differences": differences,
    }
