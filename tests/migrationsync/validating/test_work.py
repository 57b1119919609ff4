"""Validating as runs do it: reports, figures, waiting, resuming."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import IntegrityError, transaction

from migrationsync.dispatch.models import Office
from migrationsync.models import (
    LegacyIdMapping,
    MigrationCheckpoint,
    MigrationValidationReport,
)
from migrationsync.source import Source, SourceUnreachable
from migrationsync.validating import Performance
from migrationsync.validating.performance import Thresholds
from migrationsync.works.validate import ValidateEntity
from operations import runner
from operations.models import Event
from tests.migrationsync.syncing import begin, sync, sync_to_end

TYPES = (
    "completeness_check",
    "data_integrity",
    "relationship_integrity",
    "performance_check",
)


@pytest.fixture(autouse=True)
def _nothing_is_too_slow(monkeypatch):
    """How busy the machine is has no say here."""
    thresholds = Thresholds(rows_per_second=0, lookup_ms=1e9, index_from=10**9, hit_rate=0)
    monkeypatch.setattr(Performance, "thresholds", thresholds)


@pytest.fixture
def job(dispatch):
    """Three offices and four profiles, loaded yesterday."""
    dispatch.add_offices(1, 2, 3)
    dispatch.add_profiles(1, 2, 3, 4)
    job = dispatch.job()
    sync(job, "load")
    LegacyIdMapping.objects.update(
        migration_timestamp=LegacyIdMapping.objects.first().migration_timestamp
        - dt.timedelta(days=1)
    )
    return job


def reports(run, **fields):
    return {
        (each.entity_type, each.validation_type): each
        for each in MigrationValidationReport.objects.filter(run=run, **fields)
    }


def test_run_over_alike_sides_passes_everything(job, settings) -> None:
    settings.SYNC_REPORT_EXPIRES_HOURS = 5
    run = sync(job, "validate")
    assert (run.outcome, run.counts["discrepancies"]) == ("completed", 0)
    found = reports(run)
    assert set(found) == {(entity, each) for entity in ("offices", "profiles") for each in TYPES}
    for report in found.values():
        report.full_clean(validate_unique=False, validate_constraints=True)
        assert report.validation_passed
        assert report.discrepancy_details == []
        assert report.execution_time_ms >= 1
        assert report.expires_at - report.generated_at == dt.timedelta(hours=5)
    report = found["offices", "completeness_check"]
    assert (report.source_entity, report.target_entity) == ("dispatch_office", "offices")
    assert (report.records_validated, report.metadata["figures"]["complete"]) == (3, 3)
    assert set(LegacyIdMapping.objects.values_list("validation_status", flat=True)) == {"validated"}
    assert run.counts["validated"] == sum(each.records_validated for each in found.values())


def test_discrepancies_are_reported_and_the_run_is_completed(job, dispatch) -> None:
    dispatch.add_offices(8)
    dispatch.change(1)
    dispatch.remove(2)
    run = sync(job, "validate", entities=["offices"])
    job.refresh_from_db()
    assert (run.outcome, job.status) == ("completed", "completed")
    found = reports(run)
    whole = found["offices", "completeness_check"]
    whole.full_clean(validate_unique=False)
    assert (whole.validation_passed, whole.discrepancies_found) == (False, 2)
    assert [(each["count"], each["examples"]) for each in whole.discrepancy_details] == [
        (1, [8]),
        (1, [2]),
    ]
    assert found["offices", "data_integrity"].discrepancies_found == 2
    assert found["offices", "relationship_integrity"].validation_passed
    assert run.counts["discrepancies"] == 4
    told = Event.objects.filter(kind="sync", payload__has_key="message")
    assert "offices, completeness: 2 wrong." in told.values_list("payload__message", flat=True)


def test_only_the_types_asked_for_are_made_in_their_order(job) -> None:
    options = {"types": ["relationship_integrity", "completeness_check"]}
    run = sync(job, "validate", options=options)
    made = MigrationValidationReport.objects.filter(run=run, entity_type="offices")
    assert list(made.order_by("pk").values_list("validation_type", flat=True)) == [
        "completeness_check",
        "relationship_integrity",
    ]


def test_steps_of_any_size_make_the_same_reports(job, dispatch, monkeypatch) -> None:
    dispatch.add_offices(*range(10, 16))
    dispatch.change(1, 3)
    whole = reports(sync(job, "validate"))
    job.max_records_per_batch = 1
    job.save()
    run = begin(job, "validate")
    sync_to_end(job, budget_seconds=0)
    steps = MigrationCheckpoint.objects.get(run=run, entity_type="offices")
    assert steps.steps > 20
    assert steps.records_processed == steps.records_total > 0
    by_one = reports(run)
    for key, report in by_one.items():
        if key[1] != "performance_check":
            assert report.records_validated == whole[key].records_validated, key
            assert report.discrepancy_details == whole[key].discrepancy_details, key
            assert {**report.metadata["figures"], "statuses_changed": 0} == {
                **whole[key].metadata["figures"],
                "statuses_changed": 0,
            }, key


def test_step_that_is_rolled_back_and_comes_again_counts_once(job, dispatch, monkeypatch) -> None:
    dispatch.change(1)
    run = begin(job, "validate", entities=["offices"])
    write, failed = ValidateEntity.write, []

    def write_twice(self, checkpoint, size, batch):
        step = write(self, checkpoint, size, batch)
        if len(failed) < checkpoint.steps + 1:
            failed.append(step)
            # As a worker that dies before the commit.
            raise KeyboardInterrupt
        return step

    monkeypatch.setattr(ValidateEntity, "write", write_twice)
    checkpoint = MigrationCheckpoint.objects.get(run=run)
    while True:
        checkpoint.refresh_from_db()
        if checkpoint.status == "completed":
            break
        MigrationCheckpoint.objects.update(
            lease_until=None, lease_token=None, not_before=None, attempts=0
        )
        try:
            with transaction.atomic():
                runner.run("sync", checkpoint.pk, budget_seconds=0)
        except KeyboardInterrupt:
            continue
    assert failed
    found = reports(run)
    assert len(found) == 4
    assert found["offices", "data_integrity"].discrepancies_found == 1
    assert checkpoint.counts["validated"] == sum(each.records_validated for each in found.values())


def test_second_report_of_a_run_is_not_kept(job) -> None:
    run = sync(job, "validate", entities=["offices"])
    checkpoint = MigrationCheckpoint.objects.get(run=run)
    before = reports(run)
    MigrationCheckpoint.objects.filter(pk=checkpoint.pk).update(cursor=None)
    checkpoint.refresh_from_db()
    work = ValidateEntity()
    for _ in range(20):
        step = work.write(checkpoint, 100, work.read(checkpoint, 100))
        checkpoint.cursor = step.cursor
        if step.finished:
            break
    after = reports(run)
    assert {key: each.pk for key, each in after.items()} == {
        key: each.pk for key, each in before.items()
    }
    with pytest.raises(IntegrityError), transaction.atomic():
        MigrationValidationReport.objects.filter(pk=after["offices", "data_integrity"].pk).update(
            validation_type="completeness_check"
        )


def test_source_that_is_away_is_waited_for(job, monkeypatch) -> None:
    run = begin(job, "validate", entities=["offices"])
    with monkeypatch.context() as patched:

        def away(self, *args, **kwargs):
            raise SourceUnreachable("The source is away.")

        patched.setattr(Source, "read", away)
        assert sync_to_end(job) == ["waiting"]
    assert job.waiting_reason == "The source is away."
    MigrationCheckpoint.objects.filter(run=run).update(not_before=None)
    assert sync_to_end(job)[-1] == "completed"
    assert len(reports(run)) == 4


def test_unknown_type_fails_the_run_and_names_those_there_are(job) -> None:
    run = begin(job, "validate", entities=["offices"])
    run.options = {"types": ["speed"]}
    run.save()
    sync_to_end(job)
    assert (job.status, job.error_code) == ("failed", "unknown_validation")
    assert "“speed”" in job.error_message
    assert "completeness_check" in job.error_message


def test_source_that_has_lost_a_column_fails_before_anything_is_marked(job, dispatch) -> None:
    dispatch.legacy("ALTER TABLE dispatch_office RENAME COLUMN rent TO rental")
    run = begin(job, "validate")
    sync_to_end(job)
    assert (job.status, job.error_code) == ("failed", "schema_drift")
    assert "rental" in job.error_message
    assert reports(run) == {}
    assert not LegacyIdMapping.objects.exclude(validation_status="pending").exists()


def test_row_loaded_again_is_to_be_validated_again(job, dispatch) -> None:
    sync(job, "validate")
    dispatch.change(1)
    sync(job, "load")
    statuses = LegacyIdMapping.objects.filter(entity_type="offices").order_by("legacy_id")
    assert list(statuses.values_list("validation_status", flat=True)) == [
        "pending",
        "validated",
        "validated",
    ]
    assert Office.objects.count() == 3
