"""Synchronization as a kind of operation: a job's runs, their stages in order, what ends them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Q, QuerySet

from migrationsync import counts, runs, schedules
from migrationsync.models import MigrationCheckpoint, SynchronizationJob, SynchronizationRun
from migrationsync.resolving import budget
from migrationsync.works.base import EntityWork
from migrationsync.works.check import CheckRecords
from migrationsync.works.compare import CompareEntity
from migrationsync.works.delete import DeleteRecords
from migrationsync.works.judging import TOO_MANY_REFUSED
from migrationsync.works.load import LoadEntity
from migrationsync.works.resolve import ResolveRecords
from migrationsync.works.sync import SyncEntity
from migrationsync.works.validate import ValidateEntity
from operations import control, delivery
from operations.kinds import Kind
from operations.stages import Stage, label

# The work of each step of a run.
WORKS: dict[str, type[EntityWork]] = {
    "load": LoadEntity,
    "sync": SyncEntity,
    "compare": CompareEntity,
    "resolve": ResolveRecords,
    "delete": DeleteRecords,
    "check": CheckRecords,
    "validate": ValidateEntity,
}


class SyncKind(Kind[SynchronizationJob]):
    """A run's checkpoints come one after the other: the last job of a stage adds the next one's
    in its own commit."""

    name = "sync"
    operation = SynchronizationJob
    job = MigrationCheckpoint
    work = {work.__name__: work for work in WORKS.values()}

    def jobs_of(self, operation: SynchronizationJob) -> QuerySet[Any]:
        return MigrationCheckpoint.objects.filter(run=operation.latest_run_id)

    def stages_of(self, operation: SynchronizationJob) -> Sequence[Stage]:
        """All of the latest run's; deletes and checks once there are some. An entity has the
        share of the percentage that it has of the source's records."""
        run = operation.latest_run
        if run is None:
            return []
        begun = {part.step for part in runs.parts(run) if str(part) in operation.progress}

        def is_shown(part: runs.Part) -> bool:
            # Which entities' it will be isn't known before: they come into view together.
            is_open = run.is_open and part.step in begun
            return part.step not in runs.WHERE_NEEDED or is_open or str(part) in operation.progress

        return [
            Stage(
                str(part),
                f"{label(part.step)} {part.entity}",
                unit="records",
                # Few beside the others, and it isn't known beforehand whether there are any.
                weight=0 if part.step in runs.WHERE_NEEDED else run.sizes.get(part.entity, 0) + 1,
            )
            for part in runs.parts(run)
            if is_shown(part)
        ]

    def start(self, run: SynchronizationRun) -> None:
        """Add the run's first checkpoint, in the transaction that creates the run."""
        self._add(run, runs.parts(run)[0])

    def stage_completed(self, operation: SynchronizationJob, stage: str) -> None:
        run = _latest(operation)
        for part in runs.parts_after(run, stage):
            if runs.is_needed(run, part):
                self._add(run, part)
                return
        changes = _closed(operation, run, runs.Outcome.COMPLETED)
        payload = {
            "run": run.number,
            "counts": run.counts,
            "message": f"{_in_words(run)}: {counts.in_words(run.counts)}",
        }
        control.complete(operation, payload=payload, **changes)
        if operation.recurs:
            control.schedule(operation, next_run_at=schedules.keep(operation))

    def on_failed(self, operation: SynchronizationJob) -> None:
        self._close(operation, runs.Outcome.FAILED)

    def on_cancelled(self, operation: SynchronizationJob) -> None:
        """Its schedule goes with it, until somebody runs it again."""
        self._close(operation, runs.Outcome.CANCELLED)
        schedules.remove(operation)
        _update(operation, next_run_at=None)

    def on_resumed(self, operation: SynchronizationJob) -> None:
        run = operation.latest_run
        if run is not None and run.outcome == runs.Outcome.FAILED:
            runs.reopen(run)
            refused = run.checkpoints.filter(
                status=MigrationCheckpoint.Status.FAILED, error_code=TOO_MANY_REFUSED
            )
            for checkpoint in refused:
                WORKS[checkpoint.stage.partition("-")[0]]().try_again(checkpoint)
        elif run is None or not run.is_open:
            # It was paused between two runs.
            control.schedule(operation)

    def refusal(self, operation: SynchronizationJob, verb: str) -> str:
        run = operation.latest_run
        is_open = run is not None and run.is_open
        if verb in ("pause", "cancel") and not is_open and not operation.recurs:
            return f"{operation} isn't running and has no schedule: there is nothing to {verb}."
        has_failed = run is not None and run.outcome == runs.Outcome.FAILED
        if verb == "retry" and operation.has_status("FAILED") and not has_failed:
            return (
                f"{operation} couldn't start a run, so there is none to retry: mend what it says, "
                "then run it."
            )
        if verb == "resume" and run is not None and (question := run.open_question):
            return (
                f"{operation} asks whether it may delete {question['deletes']:,} records: approve "
                "it, or cancel the run."
            )
        return ""

    def consequence(self, operation: SynchronizationJob, verb: str) -> str:
        if verb != "cancel" or not operation.recurs:
            return ""
        return "Its schedule goes with it, until somebody runs it again."

    def asking(self) -> Q:
        return Q(
            latest_run__outcome=runs.Outcome.OPEN,
            latest_run__question__isnull=False,
            latest_run__approved_deletes=None,
        )

    def question(self, operation: SynchronizationJob) -> str:
        if not operation.has_status("PAUSED") and operation.display_status != "pausing":
            return ""
        found = operation.latest_run and operation.latest_run.open_question
        return f"May it delete {', '.join(budget.in_words(found))}?" if found else ""

    def in_words(self, operation: SynchronizationJob) -> str:
        run = operation.latest_run
        return _in_words(run) if run is not None and run.is_open else ""

    def log_fields(self, operation: SynchronizationJob) -> dict[str, object]:
        return {"sync_id": operation.pk, "sync_job": operation.job_name}

    def _add(self, run: SynchronizationRun, part: runs.Part) -> None:
        delivery.add_job(
            MigrationCheckpoint,
            run.job,
            name=WORKS[part.step].__name__,
            stage=str(part),
            run=run,
            entity_type=part.entity,
            operation_type=runs.operation_type(run),
            batch_size=run.job.max_records_per_batch,
        )

    def _close(self, operation: SynchronizationJob, outcome: runs.Outcome) -> None:
        run = operation.latest_run
        if run is not None and run.is_open:
            _update(operation, **_closed(operation, run, outcome))


def _latest(operation: SynchronizationJob) -> SynchronizationRun:
    run = operation.latest_run
    if run is None:
        raise RuntimeError(f"{operation} has no run.")
    return run


def _in_words(run: SynchronizationRun) -> str:
    return f"run {run.number}, {run.get_purpose_display().lower()}"


def _closed(
    operation: SynchronizationJob, run: SynchronizationRun, outcome: runs.Outcome
) -> dict[str, Any]:
    """Closes the run; returns what changes with it on the job."""
    newly_synced = runs.end(run, outcome)
    changes = {
        "last_run_at": run.created_at,
        **runs.statistics(operation, newly_synced=newly_synced),
    }
    if operation.next_run_at and operation.next_run_at <= run.created_at:
        # Its moment has come: the tick is under way, and says when the next one is.
        changes["next_run_at"] = None
    return changes


def _update(operation: SynchronizationJob, **changes: Any) -> None:
    for name, value in changes.items():
        setattr(operation, name, value)
    operation.save(update_fields=[*changes, "updated_at"])


SYNC = SyncKind()
