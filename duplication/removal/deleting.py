"""The deletion: bottom up, each chunk found by the id map and deleted with its pairs there.

Every statement goes along indexes, whatever the statistics say, so that a chunk never costs
more than its rows. Rows that were added to the copy since are in no id map; they are found
as children of rows that are, and go before those, where nobody's work is lost with them.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from content.models import Episode, Node
from content.services import delete_episode, delete_nodes
from content.tree import TREE, descendants
from duplication.exceptions import CannotRemove
from duplication.levels import BLOCKS, CHILD_LEVELS, ITEMS, PARTS, Level
from duplication.models import (
    DriftFinding,
    Duplication,
    IdMap,
    LinkFinding,
    OwnEdit,
    RemovalJob,
)
from duplication.removal.conditions import MAX_NAMED, is_forced
from duplication.walk import SESSION, one
from operations.database_errors import is_contention
from operations.work import Step, Work

# Counting must not stall the removal: past this the total is unknown.
COUNT_TIMEOUT_MS = 10_000
BY_INDEX = {
    **SESSION,
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


class RemoveLevel(Work[RemovalJob]):
    """Cursor: {"after": new id}; with "release", before anything else, the level index whose
    rows that were moved out of the copy are struck off the id map."""

    level: ClassVar[Level]
    initial_size = 1_000
    min_size = 50
    max_size = 10_000

    def step(self, job: RemovalJob, size: int, prepared: Any) -> Step:
        with connection.cursor() as cursor:
            plan_for_deleting(cursor)
            if job.cursor is None:
                return self.open_level(cursor, job)
            if "release" in job.cursor:
                return self.release(cursor, job, job.cursor, size)
            return self.delete(cursor, job, job.cursor, size)

    def open_level(self, cursor: Any, job: RemovalJob) -> Step:
        return Step(
            cursor={"after": 0},
            finished=False,
            total=_count_mapped(job.removal.duplication_id, self.level),
        )

    def release(self, cursor: Any, job: RemovalJob, at: dict[str, int], size: int) -> Step:
        index, after = at["release"], at["after"]
        rows, released, last = one(
            cursor,
            release_sql(*CHILD_LEVELS[index]),
            {
                "duplication": job.removal.duplication_id,
                "after": after,
                "size": size,
            },
        )
        if rows == size:
            reached = {"release": index, "after": last}
        elif index + 1 < len(CHILD_LEVELS):
            reached = {"release": index + 1, "after": 0}
        else:
            reached = {"after": 0}
        return Step(cursor=reached, finished=False, rows=rows, counts={"released": released})

    def delete(self, cursor: Any, job: RemovalJob, at: dict[str, int], size: int) -> Step:
        duplication_id, after = job.removal.duplication_id, at["after"]
        if self.level is not BLOCKS:
            ids = list(
                IdMap.objects.filter(
                    duplication=duplication_id, type=self.level.node, new_id__gt=after
                )
                .order_by("new_id")
                .values_list("new_id", flat=True)[:size]
            )
            model = cast("type[Node]", self.level.model)
            if added := delete_added(job.removal.duplication, model, ids, size):
                return Step(cursor=at, finished=False, rows=added, counts={"added": added})
        rows, deleted, last = one(
            cursor,
            delete_sql(self.level),
            {"duplication": duplication_id, "after": after, "size": size},
        )
        return Step(
            cursor={"after": last or after},
            finished=rows < size,
            rows=rows,
            done=rows,
            counts={"rows": rows, "deleted": deleted},
        )


class RemoveBlocks(RemoveLevel):
    """The first to delete: from here on the copy isn't whole any more."""

    level = BLOCKS
    initial_size = 5_000
    min_size = 100
    max_size = 40_000

    def open_level(self, cursor: Any, job: RemovalJob) -> Step:
        duplication = job.removal.duplication
        Duplication.objects.filter(pk=duplication.pk, deletion_began_at=None).update(
            deletion_began_at=timezone.now()
        )
        opened = super().open_level(cursor, job)
        # Whatever was not proved to be as it was copied may have rows elsewhere by now.
        if is_forced(duplication):
            return Step(cursor={"release": 0, "after": 0}, finished=False, total=opened.total)
        return opened


class RemoveItems(RemoveLevel):
    level = ITEMS


class RemoveParts(RemoveLevel):
    level = PARTS


class RemoveEpisode(Work[RemovalJob]):
    """What hangs below the episode still, what was found out about the copy, then its row."""

    initial_size = 1_000
    min_size = 50
    max_size = 20_000

    def step(self, job: RemovalJob, size: int, prepared: Any) -> Step:
        duplication = job.removal.duplication
        with connection.cursor() as cursor:
            plan_for_deleting(cursor)
            rows = self._delete_some(cursor, duplication, size)
        if rows:
            return Step(cursor="below", finished=False, rows=rows)
        if duplication.new_episode:
            delete_episode(episode=duplication.new_episode)
        return Step(cursor="gone", finished=True, rows=1, done=1, total=1)

    def _delete_some(self, cursor: Any, duplication: Duplication, size: int) -> int:
        copy = duplication.new_episode_id
        if copy and (added := delete_added(duplication, Episode, [copy], size)):
            return added
        for model in (LinkFinding, DriftFinding, OwnEdit, IdMap):
            cursor.execute(
                f"""
                DELETE FROM {model._meta.db_table} WHERE ctid = ANY(ARRAY(
                    SELECT ctid FROM {model._meta.db_table}
                    WHERE duplication_id = %s LIMIT %s))""",
                [duplication.pk, size],
            )
            if cursor.rowcount:
                return int(cursor.rowcount)
        return 0


DELETE_JOBS: dict[str, type[Work[RemovalJob]]] = {
    "blocks": RemoveBlocks,
    "items": RemoveItems,
    "parts": RemoveParts,
    "episode": RemoveEpisode,
}


def plan_for_deleting(cursor: Any) -> None:
    """Make this transaction's statements go along the indexes. Lasts to its end."""
    settings = ", ".join("set_config(%s, %s, true)" for _ in BY_INDEX)
    cursor.execute(f"SELECT {settings}", [part for pair in BY_INDEX.items() for part in pair])


def delete_added(duplication: Duplication, model: type[Node], ids: list[int], size: int) -> int:
    """Delete up to `size` rows below the rows `ids` of `model`, of the lowest level that has
    any. Returns how many. Raises CannotRemove instead where an undo may not take them along."""
    for below in reversed(TREE[TREE.index(model) + 1 :]):
        found = descendants(below, model, ids).order_by().values_list("pk", flat=True)[:size]
        if added := list(found):
            if duplication.has_status("COMPLETED") and not is_forced(duplication):
                raise _added_meanwhile(below, added)
            delete_nodes(model=below, ids=added)
            return len(added)
    return 0


def _added_meanwhile(model: type[Node], ids: list[int]) -> CannotRemove:
    """Nobody can write to a hidden copy but by SQL: whoever did knows what the rows are."""
    named = ", ".join(f"{model._meta.model_name} {id}" for id in ids[:MAX_NAMED])
    more = " and more" if len(ids) > MAX_NAMED else ""
    return CannotRemove(
        "changed_since",
        f"Rows were added to the copy while it was being removed: {named}{more}. Move them "
        "elsewhere and retry, or remove it even if it was changed (even_if_changed): they are "
        "lost then.",
    )


def delete_sql(level: Level) -> str:
    """Delete one chunk with its pairs of ids; answers (pairs, rows deleted, last new id)."""
    return f"""
        WITH chunk AS MATERIALIZED ({_chunk_sql(level)}),
        deleted AS (
            DELETE FROM {level.table} WHERE id = ANY(ARRAY(SELECT new_id FROM chunk)) RETURNING 1
        ),
        unmapped AS ({_unmap_sql("chunk")})
        SELECT (SELECT count(*) FROM chunk), (SELECT count(*) FROM deleted),
            (SELECT max(new_id) FROM chunk)"""


def release_sql(above: Level, level: Level) -> str:
    """Strike the rows of one chunk that hang below no row of the copy off the id map; answers
    (pairs looked at, struck off, last new id). From the top down: what hung below one goes too.

    The limits keep the planner from turning the look-ups around and reading the whole level.
    """
    return f"""
        WITH chunk AS MATERIALIZED ({_chunk_sql(level)}),
        outside AS MATERIALIZED (
            SELECT chunk.place FROM chunk
            LEFT JOIN LATERAL (
                SELECT row.{level.parent_column} AS parent FROM {level.table} row
                WHERE row.id = chunk.new_id LIMIT 1
            ) here ON true
            LEFT JOIN LATERAL (
                SELECT p.new_id FROM id_map p WHERE p.duplication_id = %(duplication)s
                    AND p.type = '{above.node}' AND p.new_id = here.parent LIMIT 1
            ) above ON true
            WHERE above.new_id IS NULL
        ),
        unmapped AS ({_unmap_sql("outside")})
        SELECT (SELECT count(*) FROM chunk), (SELECT count(*) FROM outside),
            (SELECT max(new_id) FROM chunk)"""


def _chunk_sql(level: Level) -> str:
    return f"""
        SELECT ctid AS place, new_id FROM id_map
        WHERE duplication_id = %(duplication)s AND type = '{level.node}' AND new_id > %(after)s
        ORDER BY new_id LIMIT %(size)s"""


def _unmap_sql(these: str) -> str:
    # By place: the map of a young copy has no statistics, and a join with it would be planned
    # as one with a single row. Nobody else writes to it, so the places hold.
    return f"DELETE FROM id_map WHERE ctid = ANY(ARRAY(SELECT place FROM {these}))"


def _count_mapped(duplication_id: int, level: Level) -> int | None:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true)", [str(COUNT_TIMEOUT_MS)]
            )
            return IdMap.objects.filter(duplication=duplication_id, type=level.node).count()
    except OperationalError as error:
        if not is_contention(error):
            raise
        return None
