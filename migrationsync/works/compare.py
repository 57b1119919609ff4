"""Finds where an entity's two sides differ, a segment a step, and stores what it finds."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any, ClassVar

from migrationsync.comparing import ChangedSince, Differential, NoTimes, Segment
from migrationsync.entities import Entity
from migrationsync.models import LegacyIdMapping, MigrationCheckpoint
from migrationsync.source import Source
from migrationsync.works import recording
from migrationsync.works.base import Beginning, EntityWork, failed
from operations.work import Step

# Smaller segments cost more than they save.
LEAST_ROWS = 500
# As many rows are counted in a moment.
COUNTED = 100_000


class ComparisonWork(EntityWork):
    """Work along the segments of a comparison; the cursor is the segment's.

    The run's options choose how: all by checksum, {"source_only": true} without looking at the
    target, or {"since": moment} only what the source's column of times says.
    """

    min_size = LEAST_ROWS
    brings_over: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        self._comparison: Differential | ChangedSince | None = None

    def begin(self, checkpoint: MigrationCheckpoint) -> Beginning:
        """What is walked: the keys of the source beside the mapped ones, then the target's rows,
        also those brought over on the way. By time that is at most the source's rows."""
        beginning = super().begin(checkpoint)
        options = checkpoint.run.options
        if "since" in options:
            return beginning
        mapped = _mapped(checkpoint.entity_type)
        keys = max(beginning.total, mapped)
        if options.get("source_only"):
            return Beginning(keys)
        target = _in_target(self.entity(checkpoint))
        return Beginning(keys + target + (keys - mapped if self.brings_over else 0))

    def comparison(self, checkpoint: MigrationCheckpoint) -> Differential | ChangedSince:
        """The same at each step: making one looks at the source's table. Raises WorkFailed where
        the entity has no times to compare by, SchemaDrift and SourceUnreachable."""
        if self._comparison is None:
            entity, source = self.entity(checkpoint), self.source(checkpoint)
            self._comparison = _comparison_of(entity, source, checkpoint.run.options)
        return self._comparison

    def close(self) -> None:
        if isinstance(self._comparison, Differential):
            self._comparison.close()


class CompareEntity(ComparisonWork):
    """The dry run: changes neither side."""

    def read(self, checkpoint: MigrationCheckpoint, size: int) -> tuple[Segment, dict[str, Any]]:
        comparison = self.comparison(checkpoint)
        segment = comparison.next_segment(checkpoint.cursor, size=max(size, LEAST_ROWS))
        return segment, comparison.criteria

    def write(
        self, checkpoint: MigrationCheckpoint, size: int, batch: tuple[Segment, dict[str, Any]]
    ) -> Step:
        segment, criteria = batch
        recording.record(checkpoint, self.entity(checkpoint), segment.differences, criteria)
        finished = segment.cursor is None
        if finished:
            recording.supersede(checkpoint, criteria)
        return Step(
            segment.cursor,
            finished=finished,
            rows=segment.examined,
            done=segment.examined,
            counts=recording.counts(segment.differences),
        )


def _mapped(name: str) -> int:
    """How many of the entity's rows are mapped, if not more than are quickly counted."""
    rows = LegacyIdMapping.objects.filter(entity_type=name).order_by()
    return rows.values("pk")[:COUNTED].count()


def _in_target(entity: Entity) -> int:
    """How many rows the target has: as the planner sees it by the table's size, or counted where
    that is quick."""
    rows = entity.target._base_manager.order_by()
    [explained] = json.loads(rows.values("pk").explain(format="json"))
    estimate = int(explained["Plan"]["Plan Rows"])
    return estimate if estimate >= COUNTED else rows.count()


def _comparison_of(
    entity: Entity, source: Source, options: dict[str, Any]
) -> Differential | ChangedSince:
    if "since" not in options:
        return Differential(entity, source, source_only=bool(options.get("source_only")))
    try:
        return ChangedSince(entity, source, dt.datetime.fromisoformat(options["since"]))
    except NoTimes as error:
        raise failed("no_times", str(error)) from error
