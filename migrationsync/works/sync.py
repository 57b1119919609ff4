"""Compares an entity segment by segment, and makes alike what needs no person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from migrationsync.comparing import Difference, Segment
from migrationsync.comparing.records import Key
from migrationsync.differences import Kind
from migrationsync.models import (
    DataDifferential,
    DifferentialRecord,
    MigrationCheckpoint,
    SynchronizationJob,
)
from migrationsync.models.differentials import Strategy
from migrationsync.resolving import gathering, marking
from migrationsync.resolving.applying import apply
from migrationsync.resolving.gathering import Decided, Gathered, TooMuch
from migrationsync.resolving.rules import Action, action_of, strategy_of
from migrationsync.runs import batch_name
from migrationsync.source.writing import MayNotWrite
from migrationsync.works import recording
from migrationsync.works.base import failed
from migrationsync.works.compare import LEAST_ROWS, ComparisonWork
from migrationsync.works.judging import JUDGED_FROM, is_over, too_many_refused
from operations.work import Step


@dataclass(frozen=True)
class _Batch:
    segment: Segment
    criteria: dict[str, Any]
    actions: dict[Key, Action]
    gathered: Gathered


class SyncEntity(ComparisonWork):
    """By the job's direction and rule. What a rule leaves to a person stays open; so does what is
    to be deleted, for DeleteRecords. The cursor is the segment's; {"is_read": true} where nothing
    is left but the verdict that too many rows were refused."""

    brings_over = True

    def try_again(self, checkpoint: MigrationCheckpoint) -> None:
        """The next run finds them again. Of this one what is still to come is judged alone."""
        judged = {
            "rows": checkpoint.records_processed,
            "refused": checkpoint.counts.get("refused", 0),
        }
        checkpoint.metadata = {**checkpoint.metadata, "judged": judged}
        checkpoint.save(update_fields=["metadata"])

    def read(self, checkpoint: MigrationCheckpoint, size: int) -> _Batch | None:
        is_read = bool(checkpoint.cursor and checkpoint.cursor.get("is_read"))
        rows, refused = _to_judge(checkpoint)
        if (is_read or rows >= JUDGED_FROM) and is_over(checkpoint, refused=refused, rows=rows):
            raise too_many_refused(
                checkpoint,
                refused=refused,
                rows=rows,
                looked_at="compared",
                way_on="Mend the source or the declaration, or raise the limit, and retry: it goes "
                "on behind these rows, and the next run tries them again.",
            )
        if is_read:
            return None
        entity, source = self.entity(checkpoint), self.source(checkpoint)
        comparison = self.comparison(checkpoint)
        size = max(size, LEAST_ROWS)
        while True:
            segment = comparison.next_segment(checkpoint.cursor, size=size)
            reserved = gathering.reserved(entity, segment.differences)
            decided = [
                Decided(each, _action(checkpoint.sync_job, each, reserved))
                for each in segment.differences
            ]
            at_once = [each for each in decided if _is_done_at_once(each)]
            try:
                gathered = gathering.gather(entity, source, self.table(checkpoint), at_once)
            except TooMuch:
                size = max(size // 2, 1)
                continue
            except MayNotWrite as error:
                raise failed("source_not_writable", str(error)) from error
            actions = {each.key: each.action for each in decided}
            return _Batch(segment, comparison.criteria, actions, gathered)

    def write(self, checkpoint: MigrationCheckpoint, size: int, batch: _Batch | None) -> Step:
        if batch is None:
            return Step(checkpoint.cursor, finished=True)
        differences = batch.segment.differences

        def strategy(difference: Difference) -> Strategy:
            return strategy_of(batch.actions[difference.key])

        pages = recording.record(
            checkpoint, self.entity(checkpoint), differences, batch.criteria, strategy=strategy
        )
        applied = apply(
            batch.gathered,
            _ids(pages),
            batch_name=batch_name(checkpoint.run),
            run_id=checkpoint.run_id,
        )
        marking.mark(applied.outcomes)
        cursor, examined = batch.segment.cursor, batch.segment.examined
        if cursor is None:
            recording.supersede(checkpoint, batch.criteria)
            rows, refused = _to_judge(checkpoint)
            refused += applied.counts["refused"]
            # Of what changed lately alone a share says little.
            is_all = "since" not in checkpoint.run.options
            if is_all and is_over(checkpoint, refused=refused, rows=rows + examined):
                cursor = {"is_read": True}
        return Step(
            cursor,
            finished=cursor is None,
            rows=examined,
            done=examined,
            counts={**recording.counts(differences), **applied.counts},
        )


def _to_judge(checkpoint: MigrationCheckpoint) -> tuple[int, int]:
    """(rows, how many of them were refused) since it was begun, or retried because of those."""
    judged = checkpoint.metadata.get("judged", {"rows": 0, "refused": 0})
    return (
        checkpoint.records_processed - judged["rows"],
        checkpoint.counts.get("refused", 0) - judged["refused"],
    )


def _action(job: SynchronizationJob, difference: Difference, reserved: set[Key]) -> Action:
    if difference.legacy_id in reserved:
        is_both_ways = job.sync_direction == SynchronizationJob.Direction.BIDIRECTIONAL
        return Action.RETURN_NEW if is_both_ways else Action.REVIEW
    rule = SynchronizationJob.Resolution(job.conflict_resolution)
    return action_of(difference.kind, difference.is_contested, job.sync_direction, rule)


def _is_done_at_once(decided: Decided) -> bool:
    """Deletes are another stage's. What both changed may have become the same, whoever decides."""
    if decided.action is Action.REVIEW:
        return decided.difference.kind is Kind.BOTH_CHANGED
    return not decided.action.is_delete


def _ids(pages: list[DataDifferential]) -> dict[Key, int]:
    records = DifferentialRecord.objects.filter(differential__in=pages).order_by()
    return {each.key: each.pk for each in records.only("legacy_id", "uuid")}
