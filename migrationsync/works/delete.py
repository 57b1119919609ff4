"""Deletes what a run is to delete of an entity, once that many may be deleted."""

from __future__ import annotations

from typing import Any

from migrationsync.models import (
    DifferentialRecord,
    MigrationCheckpoint,
    SynchronizationJob,
    SynchronizationRun,
)
from migrationsync.resolving import budget
from migrationsync.works.resolve import ApplyWork
from operations.work import Step


class DeleteRecords(ApplyWork):
    """On whichever side a record goes. Its entities come in reverse: who points to others first.

    The job's budget is looked at once, for the whole run and before its first delete: over it the
    run asks and the job pauses; `approved_deletes` is the answer. Within it the number is kept
    there as well, as nothing that has to be asked.
    """

    deletes = True

    def read(self, checkpoint: MigrationCheckpoint, size: int) -> Any:
        run = checkpoint.run
        if run.approved_deletes is not None:
            return super().read(checkpoint, size)
        counted = budget.actions(
            DifferentialRecord.objects.filter(resolving_run=run),
            checkpoint.sync_job.sync_direction,
        )
        deletes = budget.deletes_of(counted)
        question = budget.question(checkpoint.sync_job, deletes)
        return _Look(sum(deletes.values()), question)

    def write(self, checkpoint: MigrationCheckpoint, size: int, batch: Any) -> Step:
        if not isinstance(batch, _Look):
            return super().write(checkpoint, size, batch)
        run = SynchronizationRun.objects.select_for_update().get(pk=checkpoint.run_id)
        if run.approved_deletes is not None:
            return Step(checkpoint.cursor, finished=False)
        if batch.question is None:
            run.approved_deletes = batch.deletes
            run.save(update_fields=["approved_deletes"])
            return Step(checkpoint.cursor, finished=False)
        run.question = batch.question
        run.save(update_fields=["question"])
        self._pause(checkpoint)
        return Step(checkpoint.cursor, finished=False, notes=[{"message": _asked(batch.question)}])

    def _pause(self, checkpoint: MigrationCheckpoint) -> None:
        """Reached when this step has ended. A cancel that was asked for stays one."""
        requests = SynchronizationJob.Request
        SynchronizationJob.objects.filter(
            pk=checkpoint.sync_job_id, requested=requests.NONE
        ).update(requested=requests.PAUSE)


class _Look:
    """What the budget said."""

    def __init__(self, deletes: int, question: budget.Question | None) -> None:
        self.deletes = deletes
        self.question = question


def _asked(question: budget.Question) -> str:
    return (
        f"It would delete {', '.join(budget.in_words(question))}: more than may be deleted "
        "without asking. Approve it to go on, or cancel the run."
    )
