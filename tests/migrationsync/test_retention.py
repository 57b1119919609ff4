"""How long runs, undo records, reports and closed quarantine rows are kept."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from migrationsync import retention as sync_retention
from migrationsync.models import (
    AppliedChange,
    DataDifferential,
    DifferentialRecord,
    LegacyIdMapping,
    MigrationCheckpoint,
    MigrationValidationReport,
    QuarantinedRow,
    SynchronizationRun,
)
from operations import retention
from tests.factories.sync import (
    DifferentialFactory,
    MappingFactory,
    QuarantinedRowFactory,
    RunFactory,
)

pytestmark = pytest.mark.django_db


def ago(days):
    return timezone.now() - dt.timedelta(days=days)


def ended(run, days):
    SynchronizationRun.objects.filter(pk=run.pk).update(outcome="completed", ended_at=ago(days))


def pruned(name):
    return retention.prune().rows[name]


@pytest.fixture
def compared():
    """The differential of a run that ended 91 days ago, with five records and a later run."""
    differential = DifferentialFactory(legacy_ids=[1, 2, 3, 4, 5])
    run = differential.checkpoint.run
    ended(run, 91)
    later = RunFactory(job=run.job)
    type(run.job).objects.filter(pk=run.job_id).update(latest_run=later)
    return differential


def test_prune_takes_old_runs_with_what_they_found(compared, monkeypatch):
    monkeypatch.setattr(sync_retention, "ROWS", 2)
    run = compared.checkpoint.run
    change = AppliedChange.objects.create(
        run=run, record=compared.records.first(), entity_type="offices", side="target"
    )
    MappingFactory()
    assert retention.due()["synchronization runs"] == 1

    assert pruned("synchronization runs") == 1

    for model in (MigrationCheckpoint, DataDifferential, DifferentialRecord):
        assert not model.objects.exists()
    assert SynchronizationRun.objects.get().pk == run.job.runs.get().pk
    change.refresh_from_db()
    assert (change.run, change.record) == (None, None)
    assert LegacyIdMapping.objects.count() == 1


def test_prune_leaves_a_younger_run_an_open_one_and_each_jobs_last(compared):
    run = compared.checkpoint.run
    ended(run, 89)
    last = RunFactory()
    ended(last, 400)
    type(last.job).objects.filter(pk=last.job_id).update(latest_run=last)

    assert pruned("synchronization runs") == 0
    assert SynchronizationRun.objects.count() == 3


def test_prune_lets_go_of_records_that_another_runs_differentials_have(compared):
    resolving = RunFactory()
    ended(resolving, 91)
    ended(compared.checkpoint.run, 1)
    compared.records.update(resolving_run=resolving)

    assert pruned("synchronization runs") == 1
    assert compared.records.filter(resolving_run=None).count() == 5


@pytest.mark.parametrize(("days", "kept"), [(179, 1), (181, 0)])
def test_prune_takes_old_undo_records(days, kept):
    change = AppliedChange.objects.create(entity_type="offices", side="target")
    AppliedChange.objects.filter(pk=change.pk).update(applied_at=ago(days))

    assert pruned("applied changes") == 1 - kept
    assert AppliedChange.objects.count() == kept


@pytest.mark.parametrize(("hours", "kept"), [(1, 1), (-1, 0)])
def test_prune_takes_expired_reports(hours, kept):
    now = timezone.now()
    MigrationValidationReport.objects.create(
        run=RunFactory(),
        entity_type="offices",
        validation_type="completeness_check",
        source_entity="dispatch_office",
        target_entity="offices",
        records_validated=1,
        validation_passed=True,
        discrepancies_found=0,
        execution_time_ms=1,
        generated_at=now - dt.timedelta(days=1),
        expires_at=now + dt.timedelta(hours=hours),
    )

    assert pruned("expired validation reports") == 1 - kept


def test_prune_takes_closed_quarantine_rows_and_leaves_open_ones():
    QuarantinedRowFactory(resolved_at=ago(91))
    QuarantinedRowFactory(resolved_at=ago(89))
    QuarantinedRowFactory(resolved_at=None, created_at=ago(400))

    assert pruned("closed quarantine rows") == 1
    assert QuarantinedRow.objects.count() == 2


@pytest.mark.parametrize("setting", ["RUNS", "CHANGES", "QUARANTINE"])
def test_zero_days_keep_for_ever(settings, setting, compared):
    QuarantinedRowFactory(resolved_at=ago(4000))
    change = AppliedChange.objects.create(entity_type="offices", side="target")
    AppliedChange.objects.filter(pk=change.pk).update(applied_at=ago(4000))
    setattr(settings, f"SYNC_KEEP_{setting}_DAYS", 0)

    pruned_rows = retention.prune().rows

    names = {
        "RUNS": "synchronization runs",
        "CHANGES": "applied changes",
        "QUARANTINE": "closed quarantine rows",
    }
    assert names.pop(setting) not in pruned_rows
    assert all(pruned_rows[name] == 1 for name in names.values())
