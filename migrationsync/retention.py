"""How long what belongs to synchronization is kept: runs, undo records, reports, quarantine.

What was brought over, and the id mapping with it, is never pruned.
"""

from __future__ import annotations

import datetime as dt
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from migrationsync.models import (
    AppliedChange,
    DataDifferential,
    DifferentialRecord,
    MigrationValidationReport,
    QuarantinedRow,
    SourceWrite,
    SynchronizationJob,
    SynchronizationRun,
)
from operations import retention

ROWS = 5_000


class EndedRuns(retention.Policy):
    """With their checkpoints, the differences they found and their reports. A job's last run
    stays, and so does what could be undone."""

    name = "synchronization runs"
    setting = "SYNC_KEEP_RUNS_DAYS"

    def count(self, before: dt.datetime) -> int:
        return self._due(before).count()

    def batches(self, before: dt.datetime) -> Iterator[int]:
        for run in self._due(before).iterator():
            yield from batches_of_run(run)
            yield run.delete()[0] and 1

    def _due(self, before: dt.datetime) -> QuerySet[SynchronizationRun]:
        last = SynchronizationJob.objects.filter(latest_run=OuterRef("pk"))
        return SynchronizationRun.objects.filter(~Exists(last), ended_at__lt=before).order_by("pk")


def batches_of_run(run: SynchronizationRun) -> Iterator[int]:
    """Removes what can be many of a run that nobody works on, a bounded batch before each yield;
    what is left goes with its row. Yields 0: it is the run that counts."""
    records = DifferentialRecord.objects.filter(differential__checkpoint__run=run)
    differentials = DataDifferential.objects.filter(checkpoint__run=run)
    while _delete_some(records):
        yield 0
    while _delete_some(differentials):
        yield 0
    while some := _some(run.changes.all()):
        AppliedChange.objects.filter(pk__in=some).update(run=None)
        yield 0
    while some := _some(run.records.all()):
        DifferentialRecord.objects.filter(pk__in=some).update(resolving_run=None)
        yield 0


class OldRows(retention.Policy):
    """Base: rows that go one by one, whatever else there is."""

    def count(self, before: dt.datetime) -> int:
        return self.due(before).count()

    def batches(self, before: dt.datetime) -> Iterator[int]:
        while deleted := _delete_some(self.due(before)):
            yield deleted

    @abstractmethod
    def due(self, before: dt.datetime) -> QuerySet[Any]: ...


class AppliedChanges(OldRows):
    """From then on they can't be undone."""

    name = "applied changes"
    setting = "SYNC_KEEP_CHANGES_DAYS"

    def due(self, before: dt.datetime) -> QuerySet[AppliedChange]:
        return AppliedChange.objects.filter(applied_at__lt=before)


class SourceWrites(OldRows):
    """Those whose step was given up, before or behind the source's commit: nobody knows."""

    name = "source writes without a change"
    setting = "SYNC_KEEP_CHANGES_DAYS"

    def due(self, before: dt.datetime) -> QuerySet[SourceWrite]:
        return SourceWrite.objects.filter(written_at__lt=before)


class ExpiredReports(OldRows):
    """Each says itself when it expires."""

    name = "expired validation reports"
    setting = ""

    def before(self) -> dt.datetime:
        return timezone.now()

    def due(self, before: dt.datetime) -> QuerySet[MigrationValidationReport]:
        return MigrationValidationReport.objects.filter(expires_at__lt=before)


class ClosedQuarantine(OldRows):
    """Rows that came over in the end, or are gone from the source."""

    name = "closed quarantine rows"
    setting = "SYNC_KEEP_QUARANTINE_DAYS"

    def due(self, before: dt.datetime) -> QuerySet[QuarantinedRow]:
        return QuarantinedRow.objects.filter(resolved_at__lt=before)


POLICIES = (EndedRuns(), AppliedChanges(), SourceWrites(), ExpiredReports(), ClosedQuarantine())


def register() -> None:
    for policy in POLICIES:
        retention.register(policy)


def _delete_some(rows: QuerySet[Any]) -> int:
    """How many; what hangs on them isn't counted."""
    if some := _some(rows):
        rows.model._default_manager.filter(pk__in=some).delete()
    return len(some)


def _some(rows: QuerySet[Any]) -> list[Any]:
    return list(rows.order_by("pk").values_list("pk", flat=True)[:ROWS])
