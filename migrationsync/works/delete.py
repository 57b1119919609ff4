"""Deletes what a run is to delete of an entity, once that many may be deleted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from migrationsync.models import (
    DifferentialRecord,
    MigrationCheckpoint,
    SynchronizationJob,
    SynchronizationRun,
)
from migrationsync.resolving import budget, looking, marking
from migrationsync.resolving.applying import Applied
from migrationsync.resolving.looking import Looked
from migrationsync.runs import batch_name
from migrationsync.works.resolve import ApplyWork, Page, State
from operations.work import Step


class DeleteRecords(ApplyWork):
    """On whichever side a record goes. Its entities come in reverse: who points to others first.

    The job's budget is looked at once, for the whole run and before its first delete: over it the
    run asks and the job pauses; `approved_deletes` is the answer. Within it the number is kept
    there as well, as nothing that has to be asked.

    From the last record down: children mostly have the greater keys. Of a tree, what can't go
    yet stays open until a pass over it deletes nothing more. The cursor says of the pass whether
    any was "deleted" or "put_off", and whether it "is_last".
    """

    deletes = True

    def page(self, checkpoint: MigrationCheckpoint, size: int) -> list[DifferentialRecord]:
        records = self.records(checkpoint).order_by("-id")
        if after := (checkpoint.cursor or {}).get("after"):
            records = records.filter(id__lt=after)
        return list(records[:size])

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
            return self._delete(checkpoint, *batch)
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

    def _delete(
        self, checkpoint: MigrationCheckpoint, page: Page, is_end: bool, looked: Looked
    ) -> Step:
        applied = looking.carry_out(
            looked, batch_name=batch_name(checkpoint.run), run_id=checkpoint.run_id
        )
        cursor = checkpoint.cursor or {}
        # A pass that is one page goes as far as it can at once.
        is_last = cursor.get("is_last", False) or (is_end and not cursor)
        is_tree = bool(self.entity(checkpoint).own_keys)
        put_off = _put_off(applied) if is_tree and not is_last else 0
        marking.mark(applied.outcomes)
        step = self.step_over(checkpoint, page, is_end, dict(applied.counts))
        if not is_tree:
            return step
        passed = {
            "is_last": is_last,
            "deleted": cursor.get("deleted", False) or bool(applied.counts["applied"]),
            "put_off": cursor.get("put_off", False) or bool(put_off),
        }
        behind, finished = {**step.cursor, **passed}, is_end
        if is_end and passed["put_off"]:
            behind, finished = {"is_last": not passed["deleted"]}, False
        return replace(step, cursor=behind, finished=finished, done=step.done - put_off)

    def _pause(self, checkpoint: MigrationCheckpoint) -> None:
        """Reached when this step has ended. A cancel that was asked for stays one."""
        requests = SynchronizationJob.Request
        SynchronizationJob.objects.filter(
            pk=checkpoint.sync_job_id, requested=requests.NONE
        ).update(requested=requests.PAUSE)


def _put_off(applied: Applied) -> int:
    """Leaves open what couldn't be done; answers how many those are."""
    failed = [key for key, each in applied.outcomes.items() if each.state is State.FAILED]
    for key in failed:
        del applied.outcomes[key]
    for name in ("refused", "changed_meanwhile"):
        del applied.counts[name]
    return len(failed)


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
