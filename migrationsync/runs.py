"""A run of a job: what it is called, which stages it has and in which order, what came of it.

Owns the order and the figures. Starting one is a verb (`services.running`), its stages' jobs and
its end are the kind's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.db.models import Avg, Count, F, Max, Q
from django.utils import timezone

from migrationsync.models import (
    AppliedChange,
    DifferentialRecord,
    MigrationCheckpoint,
    SynchronizationJob,
    SynchronizationRun,
)

Purpose = SynchronizationRun.Purpose
Outcome = SynchronizationRun.Outcome

# What a record counts as synced for, of a checkpoint's counts.
SYNCED = ("inserted", "updated", "applied")
# Steps by purpose: each is done for all entities before the next one; a delete from the last
# entity to the first, because rows that point to others go before them.
STEPS: dict[str, tuple[str, ...]] = {
    Purpose.LOAD: ("load",),
    Purpose.SYNC: ("sync", "delete", "check"),
    Purpose.COMPARE: ("compare",),
    Purpose.RESOLVE: ("resolve", "delete", "check"),
    Purpose.VALIDATE: ("validate",),
}
# These are done for an entity only where there is something to do.
WHERE_NEEDED = ("delete", "check")
_OPERATION_TYPES = {
    Purpose.LOAD: MigrationCheckpoint.OperationType.DIFFERENTIAL_MIGRATION,
    Purpose.VALIDATE: MigrationCheckpoint.OperationType.VALIDATION,
}


class Part(NamedTuple):
    """A stage of the run: a step of the work, for one entity."""

    step: str
    entity: str

    def __str__(self) -> str:
        return f"{self.step}-{self.entity}"


def batch_name(run: SynchronizationRun) -> str:
    """What the mappings and the quarantine call the rows that it brought over."""
    # The key's random end: its beginning is the time at which the job was made.
    return f"{run.job_id.hex[-12:]}/{run.number}"


def parts(run: SynchronizationRun) -> list[Part]:
    """All that it may have, in order. `entities` are in the order of their dependencies."""
    return [
        Part(step, entity)
        for step in STEPS[run.purpose]
        for entity in (reversed(run.entities) if step == "delete" else run.entities)
    ]


def parts_after(run: SynchronizationRun, stage: str) -> list[Part]:
    names = [str(each) for each in parts(run)]
    return parts(run)[names.index(stage) + 1 :]


def is_first(run: SynchronizationRun, stage: str) -> bool:
    return stage == str(parts(run)[0])


def is_needed(run: SynchronizationRun, part: Part) -> bool:
    """Whether there is something to do: deletes and checks are done only where there is."""
    of_entity = DifferentialRecord.objects.filter(
        resolving_run=run, differential__entity_type=part.entity
    )
    is_open = Q(state=DifferentialRecord.State.OPEN)
    if part.step == "delete":
        return of_entity.filter(is_open).exists()
    if part.step == "check":
        changes = AppliedChange.objects.filter(run=run, entity_type=part.entity)
        return changes.exists() or of_entity.exclude(is_open).exists()
    return True


def operation_type(run: SynchronizationRun) -> str:
    return _OPERATION_TYPES.get(
        Purpose(run.purpose), MigrationCheckpoint.OperationType.SYNC_OPERATION
    )


def next_number(job: SynchronizationJob) -> int:
    """The job must be locked."""
    return (job.runs.aggregate(last=Max("number"))["last"] or 0) + 1


def end(run: SynchronizationRun, outcome: Outcome) -> int:
    """Closes the run, its job locked; returns how many records more were synced than it had told
    of before: one that failed and was retried has told of some."""
    told = synced(run.counts)
    run.counts = _total(run.checkpoints.values_list("counts", flat=True))
    run.outcome, run.ended_at = outcome, timezone.now()
    run.save(update_fields=["counts", "outcome", "ended_at"])
    return synced(run.counts) - told


def reopen(run: SynchronizationRun) -> None:
    """After a failure, its job locked."""
    run.outcome, run.ended_at = Outcome.OPEN, None
    run.save(update_fields=["outcome", "ended_at"])


def statistics(job: SynchronizationJob, *, newly_synced: int) -> dict[str, Any]:
    """The job's figures over the ended runs that are kept; of records synced, over all."""
    completed, failed = Q(outcome=Outcome.COMPLETED), Q(outcome=Outcome.FAILED)
    found = job.runs.aggregate(
        completed=Count("pk", filter=completed),
        ended=Count("pk", filter=completed | failed),
        took=Avg(F("ended_at") - F("created_at"), filter=completed),
    )
    rate = round(100 * found["completed"] / found["ended"], 2) if found["ended"] else None
    took = round(found["took"].total_seconds() * 1000) if found["took"] else None
    return {
        "total_records_synced": job.total_records_synced + newly_synced,
        "success_rate": rate,
        "average_duration_ms": took,
    }


def synced(counts: dict[str, int]) -> int:
    return sum(counts.get(name, 0) for name in SYNCED)


def _total(all_counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for counts in all_counts:
        total.update(counts)
    return dict(total)
