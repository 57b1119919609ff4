"""Loading by checkpoints: it ends, goes on from where it was, and judges what was refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection, connections

from migrationsync.dispatch.legacy.tables import OFFICE, PROFILE
from migrationsync.dispatch.models import Office, Profile
from migrationsync.kind import SYNC
from migrationsync.models import LegacyIdMapping, QuarantinedRow
from migrationsync.runs import batch_name
from migrationsync.services.jobs import change_job
from migrationsync.works import judging, load
from operations import control, runner
from tests.factories.sync import MappingFactory
from tests.migrationsync.syncing import begin, sync, sync_to_end


def checkpoint_of(run, entity):
    return run.checkpoints.get(entity_type=entity)


def test_load_brings_over_every_entity_in_the_order_of_its_keys(each_dispatch):
    each_dispatch.add_offices(1, 2, 3)
    each_dispatch.add_profiles(10, 11, office=2)
    job = each_dispatch.job(entities_to_sync=["profiles", "offices"])

    run = sync(job, "load")

    assert [each.stage for each in run.checkpoints.all()] == ["load-offices", "load-profiles"]
    assert Profile.objects.filter(office__isnull=False).count() == 2
    assert run.outcome == "completed"
    assert run.counts == {"inserted": 5}
    offices = checkpoint_of(run, "offices")
    assert (offices.records_processed, offices.records_total) == (3, 3)
    assert offices.last_processed_id == "3"
    assert set(LegacyIdMapping.objects.values_list("migration_batch", flat=True)) == {
        batch_name(run)
    }
    assert job.progress["load-profiles"]["total"] == 2


def test_load_of_an_empty_table_ends_with_nothing(dispatch):
    run = sync(dispatch.job(), "load")

    assert (run.outcome, run.counts) == ("completed", {})


def test_load_again_changes_nothing(dispatch):
    dispatch.add_offices(1, 2)
    job = dispatch.job(entities_to_sync=["offices"])
    sync(job, "load")

    again = sync(job, "load")

    assert again.counts == {"unchanged": 2}


def test_load_step_by_step_goes_on_where_it_was(each_dispatch):
    each_dispatch.add_offices(*range(1, 8))
    job = each_dispatch.job(entities_to_sync=["offices"], max_records_per_batch=3)
    run = begin(job, "load")

    outcomes = sync_to_end(job, budget_seconds=0)

    assert outcomes == ["requeued", "requeued", "completed"]
    run.refresh_from_db()
    assert run.counts == {"inserted": 7}


def test_load_redelivered_brings_nothing_over_twice(dispatch):
    dispatch.add_offices(1, 2, 3, 4)
    job = dispatch.job(entities_to_sync=["offices"], max_records_per_batch=2)
    run = begin(job, "load")
    first = checkpoint_of(run, "offices")

    runner.run("sync", first.pk, budget_seconds=0)
    sync_to_end(job)
    again = runner.run("sync", first.pk)

    assert again == "not_taken"
    run.refresh_from_db()
    assert run.counts == {"inserted": 4}
    assert Office.objects.count() == 4


def test_load_ends_although_the_source_grows(dispatch):
    dispatch.add_offices(1, 2, 3, 4)
    job = dispatch.job(entities_to_sync=["offices"], max_records_per_batch=2)
    run = begin(job, "load")
    runner.run("sync", checkpoint_of(run, "offices").pk, budget_seconds=0)

    dispatch.add_offices(5, 6)
    sync_to_end(job)

    assert Office.objects.count() == 4


def test_load_keeps_what_the_target_changed_unless_the_source_wins(each_dispatch):
    each_dispatch.add_offices(1)
    job = each_dispatch.job(entities_to_sync=["offices"], conflict_resolution="manual")
    sync(job, "load")
    Office.objects.update(name="Here")
    each_dispatch.change(1, to="There")

    kept = sync(job, "load")
    job = change_job(job, by=None, conflict_resolution="source_wins")
    won = sync(job, "load")

    assert kept.counts == {"kept": 1}
    assert won.counts == {"updated": 1}
    assert Office.objects.get().name == "There"


# --- the source --------------------------------------------------------------------------


def away(alias, monkeypatch):
    """From now on the source doesn't answer."""
    connection = connections[alias]
    connection.close()
    name = connection.settings_dict["NAME"]
    monkeypatch.setitem(connection.settings_dict, "NAME", f"{name}/nowhere/at_all")


def test_load_waits_for_a_source_that_goes_away_and_goes_on(each_dispatch, monkeypatch):
    each_dispatch.add_offices(1, 2, 3, 4)
    job = each_dispatch.job(entities_to_sync=["offices"], max_records_per_batch=2)
    run = begin(job, "load")
    runner.run("sync", checkpoint_of(run, "offices").pk, budget_seconds=0)

    with monkeypatch.context() as patched:
        away(each_dispatch.source.alias, patched)
        outcomes = sync_to_end(job)
    assert outcomes == ["waiting"]
    assert job.status == "running"
    assert "doesn't answer" in job.waiting_reason
    run.checkpoints.update(not_before=None)
    sync_to_end(job)

    run.refresh_from_db()
    assert (run.outcome, run.counts) == ("completed", {"inserted": 4})


def test_run_starts_although_the_source_is_away_and_waits(dispatch, monkeypatch):
    job = dispatch.job()
    with monkeypatch.context() as patched:
        away(dispatch.source.alias, patched)
        run = begin(job, "load")
        outcomes = sync_to_end(job)

    assert outcomes == ["waiting"]
    assert run.is_open


def test_drift_of_any_entity_is_refused_before_the_first_row_and_named(each_dispatch):
    each_dispatch.add_offices(1)
    each_dispatch.legacy(f"ALTER TABLE {PROFILE.name} RENAME COLUMN full_name TO whole_name")
    each_dispatch.legacy(f"ALTER TABLE {PROFILE.name} DROP COLUMN prefs")
    job = each_dispatch.job()

    run = sync(job, "load")

    assert (run.outcome, job.status, job.error_code) == ("failed", "failed", "schema_drift")
    assert f"{PROFILE.name}.full_name is gone. Was it renamed to “whole_name”?" in job.error_message
    assert f"{PROFILE.name}.prefs is gone." in job.error_message
    assert Office.objects.count() == 0


def test_drift_in_the_middle_is_named_and_a_retry_goes_on(each_dispatch):
    each_dispatch.add_offices(1, 2, 3)
    job = each_dispatch.job(entities_to_sync=["offices"], max_records_per_batch=2)
    run = begin(job, "load")
    runner.run("sync", checkpoint_of(run, "offices").pk, budget_seconds=0)
    each_dispatch.legacy(f"ALTER TABLE {OFFICE.name} RENAME COLUMN city TO town")

    sync_to_end(job)
    assert job.error_code == "schema_drift"
    assert "city is gone" in job.error_message

    each_dispatch.legacy(f"ALTER TABLE {OFFICE.name} RENAME COLUMN town TO city")
    control.retry(SYNC, job)
    sync_to_end(job)
    run.refresh_from_db()
    assert (run.outcome, run.counts) == ("completed", {"inserted": 3})


# --- what was refused ----------------------------------------------------------------------


@pytest.fixture
def refused(dispatch):
    """A job whose run failed: two of four profiles have a role that isn't known."""
    dispatch.add_offices(1)
    dispatch.add_profiles(1, 3)
    dispatch.add_profiles(2, 4, role=9)
    job = dispatch.job(max_failed_percent=Decimal(25))
    run = sync(job, "load")
    assert (run.outcome, job.error_code) == ("failed", judging.TOO_MANY_REFUSED)
    return job


def test_load_with_too_many_refused_fails_and_keeps_what_came_over(refused):
    assert (
        "2 of 4 rows of profiles that were read were refused, more than 25 %"
        in refused.error_message
    )
    assert Profile.objects.count() == 2
    assert QuarantinedRow.objects.filter(resolved_at=None).count() == 2
    assert refused.latest_run.counts == {"inserted": 3, "quarantined": 2}


def test_load_retried_after_raising_the_limit_completes(refused):
    change_job(refused, by=None, max_failed_percent=Decimal(50))

    control.retry(SYNC, refused)
    sync_to_end(refused)

    assert refused.status == "completed"
    assert refused.latest_run.counts == {"inserted": 3, "quarantined": 2}
    assert refused.total_records_synced == 3


def test_load_retried_after_mending_the_source_tries_the_refused_again(dispatch, refused):
    dispatch.change(2, table=PROFILE, column="role_code", to=3)

    control.retry(SYNC, refused)
    sync_to_end(refused)

    assert refused.status == "completed"
    assert Profile.objects.count() == 3
    assert QuarantinedRow.objects.get(resolved_at=None).legacy_id == 4
    assert refused.latest_run.counts == {"inserted": 4, "quarantined": 1}
    assert refused.total_records_synced == 4


def test_load_retried_without_mending_anything_fails_again(refused):
    control.retry(SYNC, refused)
    sync_to_end(refused)

    assert (refused.status, refused.error_code) == ("failed", judging.TOO_MANY_REFUSED)


def test_load_is_judged_before_its_end_from_enough_rows_on(dispatch, monkeypatch):
    monkeypatch.setattr(load, "JUDGED_FROM", 2)
    dispatch.add_offices(1)
    dispatch.add_profiles(*range(1, 9), role=9)
    job = dispatch.job(max_records_per_batch=2)

    run = sync(job, "load")

    assert checkpoint_of(run, "profiles").records_processed == 2
    assert run.outcome == "failed"


def test_load_with_refused_within_the_limit_completes(dispatch):
    dispatch.add_offices(1)
    dispatch.add_profiles(1, 2, 3)
    dispatch.add_profiles(4, role=9)

    run = sync(dispatch.job(max_failed_percent=Decimal(25)), "load")

    assert (run.outcome, run.counts) == ("completed", {"inserted": 4, "quarantined": 1})


def test_batch_that_violates_a_constraint_costs_its_rows_only(dispatch):
    """One that the declaration knows nothing of, with good rows on both sides of the bad ones."""
    dispatch.add_offices(1, 2, name="Bremen")
    dispatch.add_offices(3, 4, name="Nowhere")
    dispatch.add_offices(5, 6, 7, name="Celle")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE offices ADD CONSTRAINT is_somewhere CHECK (name <> 'Nowhere')")
    job = dispatch.job(max_failed_percent=100, max_records_per_batch=3)

    run = sync(job, "load")

    assert run.outcome == "completed"
    assert run.counts == {"inserted": 5, "quarantined": 2}
    refused = QuarantinedRow.objects.filter(resolved_at=None).order_by("legacy_id")
    assert [row.legacy_id for row in refused] == [3, 4]
    assert all("is_somewhere" in row.reasons[0]["problem"] for row in refused)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE offices DROP CONSTRAINT is_somewhere")
    again = sync(job, "load")
    assert again.counts["inserted"] == 2
    assert not QuarantinedRow.objects.filter(resolved_at=None).exists()
    assert sorted(LegacyIdMapping.objects.values_list("legacy_id", flat=True)) == [*range(1, 8)]


@pytest.mark.parametrize("others", [0, 200])
def test_load_again_reads_no_more_of_the_mapping_than_its_batch(dispatch, others):
    """Right behind the first load: the planner guesses, or knows of another entity alone."""
    if others:
        MappingFactory.create_batch(others, entity_type="doctors")
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE legacy_id_mappings")
    dispatch.legacy(
        f"INSERT INTO {OFFICE.name} (id, name, rent, active, opened, created, modified) "
        "WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < 4000) "
        "SELECT id, 'Bremen', 812.5, 'Y', '2020-02-29', '2024-05-02 12:00:00', "
        "'2024-05-02 12:00:00' FROM n"
    )
    dispatch.change(2)
    job = dispatch.job(entities_to_sync=["offices"])
    sync(job, "load")
    dispatch.change(3, 4, to="Celle")
    change_job(job, by=None, max_records_per_batch=10)
    checkpoint = begin(job, "load").checkpoints.get()
    before = mappings_read()

    runner.run("sync", checkpoint.pk, budget_seconds=0)

    checkpoint.refresh_from_db()
    assert checkpoint.counts == {"updated": 2, "unchanged": 8}
    assert mappings_read() - before < 200


def mappings_read() -> int:
    """How many rows this transaction has read of the mappings so far."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables "
            "WHERE relname = 'legacy_id_mappings'"
        )
        return int(cursor.fetchone()[0])
