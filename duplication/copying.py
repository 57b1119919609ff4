"""Copying the tree, one chunk of one level at a time, inside the database.

A chunk is one statement: the next rows of the level, inserted below the new parents with
`orig_id` set, and the pairs of ids into the id map. The statement also sums up what it
read, so that the verification can prove later that exactly this arrived.

A row that is moved in the original, to a place the walk has yet to come to, is met a second
time. The id map's key refuses it, and the chunk is done again without such rows.
"""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

from django.db import IntegrityError, connection, transaction

from content.models import Episode
from duplication import measuring
from duplication.exceptions import OriginalEpisodeNotFound
from duplication.levels import BLOCKS, EPISODE, ITEMS, PARTS, Level, by_stage
from duplication.models import Duplication, DuplicationJob, IdMap
from duplication.walk import (
    LAST,
    Position,
    checksum_sql,
    columns_sql,
    links_hash_sql,
    one,
    plan_for_walking,
    walk_sql,
)
from operations import delivery, telemetry
from operations.work import Step, Work


class DuplicateBase(Work[DuplicationJob]):
    """What the four levels share: the duplication, and that its original still exists."""

    level: ClassVar[Level]
    initial_size = 5_000
    min_size = 100
    max_size = 40_000

    def step(self, job: DuplicationJob, size: int, prepared: Any) -> Step:
        with connection.cursor() as cursor:
            plan_for_walking(cursor)
            # The key-share lock keeps the original from being deleted under the chunk.
            cursor.execute(
                "SELECT 1 FROM episodes WHERE id = %s AND status <> %s FOR KEY SHARE",
                [job.duplication.org_episode_id, Episode.Status.REMOVING],
            )
            if cursor.fetchone() is None:
                raise OriginalEpisodeNotFound(job.duplication.org_episode_id)
            with telemetry.span("query", stage=job.stage, size=size):
                return self.copy_chunk(cursor, job, size)

    def copy_chunk(self, cursor: Any, job: DuplicationJob, size: int) -> Step:
        """The next chunk of a level below the root; before the first, its size and lanes."""
        above, level = by_stage(job.stage)
        if "lower" not in job.parameters:
            return self.open_level(job, above, level)
        upper = job.parameters["upper"]
        start = Position.of(job.cursor or job.parameters["lower"])
        walked, count, checksum, ids, links, last, with_link = _copy_once(
            cursor,
            above,
            level,
            {
                "duplication": job.duplication_id,
                "parent": start.parent,
                "id": start.id,
                "high_water": job.duplication.high_water[level.stage],
                "size": size,
                **({"upper_parent": upper[0], "upper_id": upper[1]} if upper else {}),
            },
        )
        if with_link:
            IdMap.objects.filter(
                duplication=job.duplication_id, type=level.node, org_id__in=with_link
            ).update(has_link=True)
        finished = walked < size
        notes = []
        if finished:
            notes.append(_note(f"{level.stage} finished duplicating", job, count))
        return Step(
            cursor=last or start.as_cursor(),
            finished=finished,
            rows=walked,
            done=count,
            counts={
                "rows": count,
                "checksum": int(checksum),
                "ids": int(ids),
                "links": int(links),
            },
            notes=notes,
        )

    def open_level(self, job: DuplicationJob, above: Level, level: Level) -> Step:
        """Count the level and split it: this job becomes its first lane and adds the others."""
        measured = measuring.measure(job.duplication, above, level)
        bounds = [[0, 0], *measured.bounds, None]
        for lane, (lower, upper) in enumerate(itertools.pairwise(bounds)):
            parameters = {"lower": lower, "upper": upper}
            if lane == 0:
                job.parameters = parameters
                job.save(update_fields=["parameters"])
            else:
                delivery.add_job(
                    DuplicationJob,
                    job.duplication,
                    name=job.name,
                    stage=job.stage,
                    lane=lane,
                    parameters=parameters,
                )
        started = {"stage": job.stage, "message": f"{level.stage} duplication started"}
        return Step(
            cursor=None,
            finished=False,
            total=measured.total,
            notes=[{**started, "amount": measured.total, "lanes": len(bounds) - 1}],
        )


class DuplicateEpisode(DuplicateBase):
    """The root row, and with it the decision of what belongs to the copy."""

    level = EPISODE

    def copy_chunk(self, cursor: Any, job: DuplicationJob, size: int) -> Step:
        duplication: Duplication = job.duplication
        new_id, checksum, ids = one(
            cursor,
            root_sql(),
            {
                "duplication": duplication.pk,
                "episode": duplication.org_episode_id,
                "title": duplication.title,
                "owner_id": duplication.requested_by_id,
            },
        )
        duplication.new_episode = Episode(pk=new_id)
        duplication.high_water = measuring.high_water(cursor)
        duplication.save(update_fields=["new_episode", "high_water", "updated_at"])
        return Step(
            cursor=[0, new_id],
            finished=True,
            rows=1,
            done=1,
            total=1,
            counts={"rows": 1, "checksum": int(checksum), "ids": int(ids)},
            notes=[_note("episode duplicated", job, 1)],
        )


class DuplicateParts(DuplicateBase):
    level = PARTS


class DuplicateItems(DuplicateBase):
    level = ITEMS


class DuplicateBlocks(DuplicateBase):
    level = BLOCKS


# The constraint that keeps a row from being copied twice.
ID_MAP_KEY = "id_map_pkey"

COPY_JOBS: dict[str, type[DuplicateBase]] = {
    work.level.stage: work
    for work in (DuplicateEpisode, DuplicateParts, DuplicateItems, DuplicateBlocks)
}


def _note(message: str, job: DuplicationJob, amount: int) -> dict[str, Any]:
    total = job.counts.get("rows", 0) + amount
    return {"stage": job.stage, "message": message, "amount": total, "lane": job.lane}


def _copy_once(
    cursor: Any, above: Level, level: Level, parameters: dict[str, Any]
) -> tuple[Any, ...]:
    """Copy a chunk, without the rows in it that were copied before they moved to this place.
    There are hardly ever any, so only a chunk that met one pays for looking each row up."""
    upper = "upper_parent" in parameters
    try:
        with transaction.atomic():
            return one(cursor, chunk_sql(above, level, upper=upper), parameters)
    except IntegrityError as error:
        if _constraint(error) != ID_MAP_KEY:
            raise
        return one(cursor, chunk_sql(above, level, upper=upper, again=True), parameters)


def _constraint(error: IntegrityError) -> str | None:
    diagnostics = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "constraint_name", None)


def chunk_sql(above: Level, level: Level, *, upper: bool, again: bool = False) -> str:
    """One chunk: copy it, map it, and answer what `copy_chunk` unpacks: how many rows were
    walked, and how many of them copied. `again`: rows that are in the id map are left out."""
    columns = ", ".join(level.copied)
    walked = walk_sql(
        above,
        level,
        side="org",
        columns=columns_sql(level, "id"),
        upper=upper,
    )
    checksum = checksum_sql(level, parent="parent_org", identity="id", row="chunk")
    chunk, rows, last = f"chunk AS MATERIALIZED ({walked})", "count(*)", LAST
    if again:
        rows, last = "(SELECT count(*) FROM walked)", f"(SELECT {LAST} FROM walked)"
        # One look-up by the key for each row, whatever the map's statistics say.
        chunk = f"""walked AS MATERIALIZED ({walked}),
        chunk AS MATERIALIZED (
            SELECT * FROM walked WHERE (
                SELECT new_id FROM id_map m WHERE m.duplication_id = %(duplication)s
                    AND m.type = '{level.node}' AND m.org_id = walked.id LIMIT 1
            ) IS NULL
        )"""
    return f"""
        WITH {chunk},
        copied AS (
            INSERT INTO {level.table}
                ({level.parent_column}, orig_id, {columns}, {", ".join(level.reset)})
            SELECT parent_new, id, {columns}, {", ".join(level.reset.values())}
            FROM chunk
            RETURNING id, orig_id
        ),
        mapped AS (
            INSERT INTO id_map (duplication_id, type, org_id, new_id, has_link)
            SELECT %(duplication)s, '{level.node}', orig_id, id, false FROM copied
        )
        SELECT {rows}, count(*),
            coalesce(sum({checksum}), 0),
            coalesce(sum(hashint8extended(id, 0)), 0),
            coalesce(sum({links_hash_sql(level, identity="id", row="chunk")}), 0),
            {last},
            array_agg(id) FILTER (WHERE has_link)
        FROM chunk"""


def root_sql() -> str:
    """The episode's own row: copy it, map it, and answer (new id, checksum, ids)."""
    columns = ", ".join(EPISODE.copied)
    checksum = checksum_sql(EPISODE, parent="0", identity="org.id", row="org")
    return f"""
        WITH org AS (SELECT * FROM {EPISODE.table} WHERE id = %(episode)s),
        copied AS (
            INSERT INTO {EPISODE.table} (orig_id, {columns}, {", ".join(EPISODE.reset)})
            SELECT id, {columns}, {", ".join(EPISODE.reset.values())} FROM org
            RETURNING id, orig_id
        ),
        mapped AS (
            INSERT INTO id_map (duplication_id, type, org_id, new_id, has_link)
            SELECT %(duplication)s, '{EPISODE.node}', orig_id, id, false FROM copied
            RETURNING new_id
        )
        SELECT (SELECT new_id FROM mapped), {checksum}, hashint8extended(org.id, 0)
        FROM org"""
