"""The verbs of a run: started, steered, answered."""

from __future__ import annotations

import threading
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django_q.models import Schedule

from migrationsync.exceptions import AlreadyRunning, CannotRun
from migrationsync.kind import SYNC
from migrationsync.models import (
    MigrationCheckpoint,
    SynchronizationJob,
    SynchronizationRun,
)
from migrationsync.services.running import approve_deletes, default_purpose, start_run
from operations import control, leases, runner
from operations.exceptions import IdempotencyKeyReused, InvalidTransition, Refused
from tests.factories.sync import JobFactory
from tests.migrationsync.syncing import begin, made, sync, sync_to_end

NIGHTLY = {"cron": "30 2 * * *"}


@pytest.mark.django_db
def test_run_now_loads_or_syncs_by_the_jobs_type():
    assert default_purpose(JobFactory(job_type="differential_migration")) == "load"
    assert default_purpose(JobFactory(job_type="manual_sync")) == "sync"
    assert default_purpose(JobFactory(job_type="scheduled_sync", schedule_config=NIGHTLY)) == "sync"


@pytest.mark.django_db
def test_start_answers_at_once_with_a_run_and_its_first_checkpoint():
    user = User.objects.create_user("ada")
    job = made(entities_to_sync=["profiles", "offices"])

    run, created = start_run(job, by=user, purpose="load")

    assert created
    assert (run.number, run.purpose, run.started_by) == (1, "load", user)
    assert run.entities == ["offices", "profiles"]
    checkpoint = run.checkpoints.get()
    assert (checkpoint.name, checkpoint.stage) == ("LoadEntity", "load-offices")
    assert checkpoint.operation_type == "differential_migration"
    assert checkpoint.task_id
    job.refresh_from_db()
    assert job.latest_run == run


@pytest.mark.django_db
def test_start_again_for_the_same_answers_the_open_run():
    job = made(entities_to_sync=["offices", "profiles"])
    run = begin(job, "compare")

    assert start_run(job, by=None, purpose="compare") == (run, False)
    assert start_run(job, by=None, purpose="compare", entities=["profiles", "offices"]).run == run
    for other in (
        {"purpose": "load"},
        {"purpose": "compare", "entities": ["offices"]},
        {"purpose": "compare", "options": {"source_only": True}},
    ):
        with pytest.raises(AlreadyRunning, match=r"compare .* of offices, profiles; run 1"):
            start_run(job, by=None, **other)
    assert job.runs.count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_once_start_one_run():
    job = made()
    started = []
    together = threading.Barrier(2)

    def click():
        try:
            together.wait()
            started.append(start_run(job, by=None, purpose="load"))
        finally:
            connection.close()

    threads = [threading.Thread(target=click) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(each.created for each in started) == [False, True]
    assert len({each.run.pk for each in started}) == 1
    assert MigrationCheckpoint.objects.count() == 1


BAD_STARTS = {
    "entity of another": ({"entities": ["orders"]}, "doesn't bring over orders"),
    "no entity": ({"entities": []}, "without an entity: name at least one"),
    "option of another": ({"purpose": "load", "options": {"since": "x"}}, "there are none"),
    "unknown option": ({"purpose": "compare", "options": {"fast": 1}}, "since, source_only"),
    "bad moment": ({"purpose": "compare", "options": {"since": "soon"}}, "since is “soon”"),
    "bad flag": ({"purpose": "compare", "options": {"source_only": "yes"}}, "use true or false"),
    "both": (
        {"purpose": "compare", "options": {"since": "2026-01-01", "source_only": True}},
        "exclude each other",
    ),
    "bad types": ({"purpose": "validate", "options": {"types": ["all"]}}, "types is “['all']”"),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("said", "words"), BAD_STARTS.values(), ids=BAD_STARTS)
def test_a_run_that_cant_be_is_refused_in_words(said, words):
    with pytest.raises(CannotRun, match=words.replace("[", r"\[")):
        start_run(made(), by=None, **said)

    assert not SynchronizationRun.objects.exists()


@pytest.mark.django_db
def test_a_key_is_answered_with_its_run_whatever_became_of_it(dispatch):
    user = User.objects.create_user("ada")
    job = dispatch.job(entities_to_sync=["offices"])
    key = {"by": user, "purpose": "load", "idempotency_key": "a"}
    first = start_run(job, **key).run
    sync_to_end(job)
    later = sync(job, "load")

    assert start_run(job, **key) == (first, False)
    assert later.number == 2
    with pytest.raises(IdempotencyKeyReused):
        start_run(job, **{**key, "purpose": "compare"})


def test_every_run_begins_anew_and_numbers_go_on(dispatch):
    dispatch.add_offices(1)
    job = dispatch.job(entities_to_sync=["offices"])
    sync(job, "load")
    assert job.progress["load-offices"]["done"] == 1

    run = begin(job, "compare")

    assert (run.number, job.progress, job.ended_at) == (2, {}, None)
    assert list(SYNC.jobs_of(job)) == list(run.checkpoints.all())


def test_statistics_tell_of_the_ended_runs(dispatch):
    dispatch.add_offices(1, 2)
    job = dispatch.job(entities_to_sync=["offices"])
    first = sync(job, "load")
    dispatch.add_offices(3)
    dispatch.change(1)
    sync(job, "load")
    begin(job, "compare")
    control.request_cancel(SYNC, job)
    _failing(dispatch, job)

    job.refresh_from_db()
    assert job.total_records_synced == 4
    assert job.success_rate == Decimal("66.67")
    assert job.average_duration_ms > 0
    assert job.last_run_at > first.created_at


def _failing(dispatch, job):
    dispatch.legacy("ALTER TABLE dispatch_office RENAME TO elsewhere")
    run = sync(job, "load")
    dispatch.legacy("ALTER TABLE elsewhere RENAME TO dispatch_office")
    assert run.outcome == "failed"
    return run


# --- steering ------------------------------------------------------------------------------


@pytest.fixture
def half_loaded(dispatch):
    """A job that has brought over two of four offices."""
    dispatch.add_offices(1, 2, 3, 4)
    job = dispatch.job(
        entities_to_sync=["offices"], max_records_per_batch=2, schedule_config=NIGHTLY
    )
    run = begin(job, "load")
    runner.run("sync", run.checkpoints.get().pk, budget_seconds=0)
    job.refresh_from_db()
    return job


def test_a_paused_run_goes_on_and_another_one_follows(half_loaded):
    job = control.request_pause(SYNC, half_loaded)
    assert (job.status, job.latest_run.is_open) == ("paused", True)
    assert start_run(job, by=None, purpose="load").created is False

    control.resume(SYNC, job)
    sync_to_end(job)

    assert (job.status, job.latest_run.counts) == ("scheduled", {"inserted": 4})
    assert sync(job, "load").counts == {"unchanged": 4}


def test_a_cancelled_run_loses_its_schedule_until_it_is_run_by_hand(half_loaded):
    job = half_loaded
    control.request_cancel(SYNC, job)
    job.refresh_from_db()

    assert (job.status, job.latest_run.outcome, job.next_run_at) == ("cancelled",) * 2 + (None,)
    assert job.latest_run.counts == {"inserted": 2}
    assert not Schedule.objects.exists()

    run = sync(job, "load")

    assert (run.outcome, job.status) == ("completed", "scheduled")
    assert run.counts == {"inserted": 2, "unchanged": 2}
    assert job.next_run_at == Schedule.objects.get().next_run


def test_a_failed_run_can_be_left_for_a_new_one(dispatch):
    dispatch.add_offices(1)
    job = dispatch.job(entities_to_sync=["offices"])
    failed = _failing(dispatch, job)
    assert failed.ended_at

    run = sync(job, "load")

    assert (run.outcome, run.number) == ("completed", 2)
    failed.refresh_from_db()
    assert failed.outcome == "failed"
    assert [each.status for each in failed.checkpoints.all()] == ["failed"]


def test_a_failed_run_that_is_retried_is_open_again_and_completes(dispatch):
    dispatch.add_offices(1)
    job = dispatch.job(entities_to_sync=["offices"])
    failed = _failing(dispatch, job)

    control.retry(SYNC, job)
    failed.refresh_from_db()
    assert (failed.outcome, failed.ended_at) == ("", None)
    sync_to_end(job)

    failed.refresh_from_db()
    assert (failed.outcome, job.status) == ("completed", "completed")


@pytest.mark.django_db
def test_a_job_paused_between_its_runs_starts_none_until_it_is_resumed():
    job = control.request_pause(SYNC, made(schedule_config=NIGHTLY))
    assert job.status == "paused"

    with pytest.raises(CannotRun, match="is paused: resume it"):
        start_run(job, by=None, purpose="load")

    control.resume(SYNC, job)
    job.refresh_from_db()
    assert job.status == "scheduled"
    assert start_run(job, by=None, purpose="load").created


@pytest.mark.django_db
@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_a_job_that_neither_runs_nor_recurs_cant_be_stopped(verb):
    job = made()

    with pytest.raises(Refused, match=f"there is nothing to {verb}"):
        getattr(control, f"request_{verb}")(SYNC, job)


def test_a_new_run_waits_until_the_last_one_has_let_go(dispatch):
    job = dispatch.job(entities_to_sync=["offices"])
    run = begin(job, "load")
    checkpoint = leases.claim(SYNC, run.checkpoints.get().pk).job
    SynchronizationRun.objects.filter(pk=run.pk).update(outcome="cancelled")
    SynchronizationJob.objects.filter(pk=job.pk).update(status="cancelled")

    with pytest.raises(CannotRun, match="try again soon"):
        start_run(job, by=None, purpose="load")

    leases.release(checkpoint)
    assert start_run(job, by=None, purpose="load").created


# --- the question ----------------------------------------------------------------------------


@pytest.fixture
def asked(half_loaded):
    """A run that stopped to ask."""
    SynchronizationRun.objects.filter(pk=half_loaded.latest_run_id).update(
        question={"deletes": 1200, "entities": {"offices": {"deletes": 1200, "records": 2000}}}
    )
    control.request_pause(SYNC, half_loaded)
    return SynchronizationJob.objects.get(pk=half_loaded.pk)


def test_a_run_that_asks_isnt_just_resumed(asked):
    with pytest.raises(Refused, match="may delete 1,200 records"):
        control.resume(SYNC, asked)


def test_approving_answers_and_goes_on_and_twice_is_once(asked):
    job = approve_deletes(asked, by=None)

    assert (job.status, job.latest_run.approved_deletes) == ("running", 1200)
    assert approve_deletes(asked, by=None).status == "running"
    assert sync_to_end(job)[-1] == "completed"
    with pytest.raises(CannotRun, match="doesn't ask"):
        approve_deletes(job, by=None)


def test_what_wasnt_asked_cant_be_approved(half_loaded):
    with pytest.raises(CannotRun, match="doesn't ask"):
        approve_deletes(half_loaded, by=None)


@pytest.mark.django_db
def test_a_run_that_never_was_cant_be_retried():
    with pytest.raises(InvalidTransition):
        control.retry(SYNC, made())
