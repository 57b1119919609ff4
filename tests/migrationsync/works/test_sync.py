"""A sync judges what was refused, as a load does."""

from __future__ import annotations

from decimal import Decimal

import pytest

from migrationsync.dispatch.legacy.tables import PROFILE
from migrationsync.dispatch.models import Profile
from migrationsync.kind import SYNC
from migrationsync.models import QuarantinedRow
from migrationsync.works import judging
from migrationsync.works import sync as syncing_work
from operations import control
from tests.migrationsync.syncing import sync, sync_to_end


@pytest.fixture
def refused(dispatch):
    """A job whose sync failed: two of four profiles have a role that isn't known."""
    dispatch.add_offices(1)
    dispatch.add_profiles(1, 3)
    dispatch.add_profiles(2, 4, role=9)
    job = dispatch.job(max_failed_percent=Decimal(25))
    run = sync(job)
    assert (run.outcome, job.error_code) == ("failed", judging.TOO_MANY_REFUSED)
    return job


def test_sync_with_too_many_refused_fails_and_keeps_what_came_over(refused):
    assert (
        "2 of 6 rows of profiles that were compared were refused, more than 25 %"
        in refused.error_message
    )
    assert Profile.objects.count() == 2
    assert QuarantinedRow.objects.filter(resolved_at=None).count() == 2


def test_sync_retried_goes_on_behind_the_refused_and_the_next_tries_them(dispatch, refused):
    dispatch.change(2, 4, table=PROFILE, column="role_code", to=3)

    control.retry(SYNC, refused)
    sync_to_end(refused)

    assert (refused.status, Profile.objects.count()) == ("completed", 2)
    assert sync(refused).outcome == "completed"
    assert Profile.objects.count() == 4
    assert not QuarantinedRow.objects.filter(resolved_at=None).exists()


def test_sync_without_mending_anything_fails_again_the_next_time(refused):
    control.retry(SYNC, refused)
    sync_to_end(refused)

    assert sync(refused).outcome == "failed"


def test_sync_is_judged_before_its_end_from_enough_rows_on(dispatch, monkeypatch):
    monkeypatch.setattr(syncing_work, "JUDGED_FROM", 2)
    monkeypatch.setattr(syncing_work, "LEAST_ROWS", 2)
    dispatch.add_offices(1)
    dispatch.add_profiles(*range(1, 9), role=9)
    job = dispatch.job(max_records_per_batch=2)

    run = sync(job)

    assert run.outcome == "failed"
    assert run.checkpoints.get(entity_type="profiles").records_processed == 2
    # Judged anew, from there on.
    control.retry(SYNC, job)
    sync_to_end(job)
    assert run.checkpoints.get(entity_type="profiles").records_processed == 4


def test_sync_of_what_changed_lately_isnt_judged_by_a_few_rows(dispatch):
    dispatch.add_offices(1)
    dispatch.add_profiles(1, role=9)
    job = dispatch.job()

    run = sync(job, options={"since": "2024-01-01T00:00:00+00:00"})

    assert run.outcome == "completed"


def test_sync_with_refused_within_the_limit_completes(dispatch):
    dispatch.add_offices(1)
    dispatch.add_profiles(1, 2, 3)
    dispatch.add_profiles(4, role=9)

    assert sync(dispatch.job(max_failed_percent=Decimal(25))).outcome == "completed"
