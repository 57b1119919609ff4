"""What every work has in common: two jobs never work on one entity at once."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, transaction

from migrationsync.dispatch.models import Office
from migrationsync.kind import SYNC
from migrationsync.models import MigrationCheckpoint
from migrationsync.works.base import hold_entity
from operations import leases, runner
from operations.exceptions import WorkWaits
from tests.migrationsync.syncing import begin, sync_to_end


def claimed(job):
    """A worker has the job's checkpoint in its hands."""
    run = begin(job, "load")
    claim = leases.claim(SYNC, run.checkpoints.get().pk)
    assert claim.job is not None
    return claim.job


def test_two_jobs_on_one_entity_exclude_each_other(dispatch):
    dispatch.add_offices(1, 2)
    first = dispatch.job(entities_to_sync=["offices"], job_name="First")
    second = dispatch.job(entities_to_sync=["offices"])
    held = claimed(first)
    begin(second, "load")

    assert sync_to_end(second) == ["waiting"]
    assert second.waiting_reason == "“First” is working on offices."

    leases.release(held)
    assert sync_to_end(first) == ["completed"]
    MigrationCheckpoint.objects.filter(sync_job=second).update(not_before=None)
    assert sync_to_end(second) == ["completed"]
    assert Office.objects.count() == 2


def test_who_started_first_goes_on_beside_a_later_one(dispatch):
    dispatch.add_offices(1, 2, 3)
    first = dispatch.job(entities_to_sync=["offices"], max_records_per_batch=2)
    run = begin(first, "load")
    runner.run("sync", run.checkpoints.get().pk, budget_seconds=0)
    claimed(dispatch.job(entities_to_sync=["offices"]))

    assert sync_to_end(first) == ["completed"]


def test_jobs_on_different_entities_dont_wait_for_each_other(dispatch):
    dispatch.add_offices(1)
    claimed(dispatch.job(entities_to_sync=["profiles"]))
    second = dispatch.job(entities_to_sync=["offices"])
    begin(second, "load")

    assert sync_to_end(second) == ["completed"]


def test_a_dead_worker_of_another_job_is_not_waited_for(dispatch):
    dispatch.add_offices(1)
    held = claimed(dispatch.job(entities_to_sync=["offices"]))
    MigrationCheckpoint.objects.filter(pk=held.pk).update(lease_until=held.created_at)
    second = dispatch.job(entities_to_sync=["offices"])
    begin(second, "load")

    assert sync_to_end(second) == ["completed"]


@pytest.mark.django_db(transaction=True)
def test_a_step_that_commits_meanwhile_keeps_others_off_its_entity():
    refusals = []

    def other():
        try:
            with transaction.atomic():
                hold_entity("profiles")
                hold_entity("offices")
        except WorkWaits as waits:
            refusals.append(str(waits))
        finally:
            connection.close()

    with transaction.atomic():
        hold_entity("offices")
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    assert refusals == ["Another job is working on offices."]


def test_a_batch_is_never_larger_than_the_job_says(dispatch):
    dispatch.add_offices(*range(1, 6))
    job = dispatch.job(entities_to_sync=["offices"], max_records_per_batch=2)
    run = begin(job, "load")

    runner.run("sync", run.checkpoints.get().pk, budget_seconds=0)

    assert Office.objects.count() == 2


def test_an_entity_that_is_no_longer_declared_fails_in_words(dispatch):
    job = dispatch.job(entities_to_sync=["offices"])
    run = begin(job, "load")
    run.checkpoints.update(entity_type="officers")
    type(run).objects.filter(pk=run.pk).update(entities=["officers"])

    sync_to_end(job)

    assert job.error_code == "unknown_entity"
    assert "Did you mean “offices”?" in job.error_message
