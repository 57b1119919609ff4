"""What a tick of the schedule does, as the queue's scheduler delivers it."""

from __future__ import annotations

import datetime as dt
import threading
import uuid

import pytest
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler
from django_q.signing import SignedPackage

from migrationsync import tasks
from migrationsync.kind import SYNC
from migrationsync.models import MigrationCheckpoint, SynchronizationJob, SynchronizationRun
from migrationsync.services.jobs import create_job
from migrationsync.services.running import start_run
from operations import control, verbs
from operations.exceptions import Refused
from operations.models import Event
from tests.factories.content import UserFactory
from tests.migrationsync.syncing import begin, sync, sync_to_end

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _kept_connection(monkeypatch):
    """The scheduler begins with a fresh connection; here it has the test's transaction."""
    monkeypatch.setattr("django_q.scheduler.close_old_django_connections", lambda: None)


def nightly(**fields):
    fields = {
        "job_name": "Nightly",
        "entities_to_sync": ["offices"],
        "job_type": "differential_migration",
        "schedule_config": {"interval_minutes": 60},
        "source_alias": "default",
        **fields,
    }
    return create_job(by=None, **fields)


def miss(job, **ago):
    """Its moment has come so long ago."""
    moment = timezone.now() - dt.timedelta(**ago)
    SynchronizationJob.objects.filter(pk=job.pk).update(next_run_at=moment)
    Schedule.objects.filter(name=f"sync:{job.pk}").update(next_run=moment)
    return moment


def tick(job, moment):
    answer = tasks.run_scheduled(str(job.pk), moment=moment.isoformat())
    job.refresh_from_db()
    return answer


def deliver():
    """The scheduler's pass, and then what it put on the queue."""
    scheduler()
    answers = []
    for queued in OrmQ.objects.order_by("id"):
        task = SignedPackage.loads(queued.payload)
        if task["func"] == "migrationsync.tasks.run_scheduled":
            answers.append(tasks.run_scheduled(*task["args"], **task["kwargs"]))
            queued.delete()
    return answers


def test_the_scheduler_starts_a_run_when_the_moment_has_come():
    job = nightly()
    assert deliver() == []
    miss(job, minutes=1)

    assert deliver() == ["Started run 1."]

    job.refresh_from_db()
    run = job.latest_run
    assert (run.purpose, run.is_scheduled, run.started_by) == ("load", True, None)
    assert job.next_run_at == Schedule.objects.get().next_run > timezone.now()
    assert deliver() == []


def test_runs_that_were_missed_are_made_up_for_once():
    job = nightly()
    miss(job, hours=5, minutes=1)

    assert deliver() == ["Started run 1."]
    assert deliver() == []
    job.refresh_from_db()
    assert dt.timedelta() < job.next_run_at - timezone.now() < dt.timedelta(hours=1)


def test_a_tick_that_is_delivered_again_starts_nothing(dispatch):
    job = nightly(source_alias=dispatch.source.alias)
    moment = miss(job, minutes=1)
    assert tick(job, moment) == "Started run 1."
    sync_to_end(job)
    assert job.status == "scheduled"

    assert tick(job, moment) == "Nothing was started: this moment was seen to already."
    assert job.runs.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_tick_that_is_delivered_twice_at_once_starts_one_run():
    job = nightly()
    moment = miss(job, minutes=1)
    together = threading.Barrier(2)
    answers = []

    def work():
        try:
            together.wait()
            answers.append(tasks.run_scheduled(str(job.pk), moment=moment.isoformat()))
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [
        "Nothing was started: this moment was seen to already.",
        "Started run 1.",
    ]


def test_a_tick_while_a_run_is_open_starts_nothing():
    job = nightly()
    begin(job)

    assert tick(job, miss(job, minutes=1)) == "Nothing was started: a run is open already."
    assert job.next_run_at > timezone.now()


def test_a_tick_of_a_paused_job_starts_nothing_and_the_next_one_does():
    job = control.request_pause(SYNC, nightly())
    moment = miss(job, minutes=1)

    assert tick(job, moment) == "Nothing was started: it is paused."

    control.resume(SYNC, job)
    assert tick(job, moment) == "Nothing was started: this moment was seen to already."
    assert tick(job, job.next_run_at) == "Started run 1."


def test_a_tick_retries_a_failed_run(dispatch):
    job = nightly(source_alias=dispatch.source.alias)
    dispatch.add_offices(1)
    dispatch.legacy("ALTER TABLE dispatch_office RENAME TO elsewhere")
    sync(job)
    assert (job.status, job.next_run_at > timezone.now()) == ("failed", True)
    dispatch.legacy("ALTER TABLE elsewhere RENAME TO dispatch_office")
    moment = miss(job, seconds=0)

    assert tick(job, moment) == "Retried: the run before had failed."
    assert tick(job, moment) == "Nothing was started: this moment was seen to already."

    sync_to_end(job)
    assert (job.status, job.runs.get().outcome) == ("scheduled", "completed")
    assert job.next_run_at > timezone.now()


def test_a_tick_that_cant_start_a_run_fails_the_job_and_the_next_one_tries_again():
    job = nightly()
    SynchronizationJob.objects.filter(pk=job.pk).update(entities_to_sync=["ofices"])
    moment = miss(job, minutes=1)

    assert "Did you mean “offices”?" in tick(job, moment)

    assert (job.status, job.error_code) == ("failed", "cannot_run")
    assert "Did you mean “offices”?" in job.error_message
    assert job.next_run_at > timezone.now()
    told = Event.objects.filter(kind="sync", operation_id=str(job.pk))
    assert told.last().payload["message"] == job.error_message
    assert "retry" not in [verb.name for verb in verbs.offered(job, UserFactory(is_superuser=True))]
    assert tick(job, moment) == "Nothing was started: this moment was seen to already."
    assert "Did you mean" in tick(job, job.next_run_at)
    assert told.count() == 1

    SynchronizationJob.objects.filter(pk=job.pk).update(entities_to_sync=["offices"])
    assert tick(job, job.next_run_at) == "Started run 1."
    assert (job.status, job.error_message) == ("scheduled", "")


def test_a_tick_that_cant_start_a_run_tells_of_another_reason_too(dispatch):
    job = nightly(source_alias=dispatch.source.alias)
    sync(job)
    for name in ("ofices", "profils"):
        SynchronizationJob.objects.filter(pk=job.pk).update(entities_to_sync=[name])
        tick(job, miss(job, minutes=-60))

        assert name in job.error_message
        assert job.status == "failed"
    assert job.runs.get().outcome == "completed"
    with pytest.raises(Refused, match="couldn't start a run"):
        control.retry(SYNC, job)


def test_a_tick_while_the_last_run_is_in_a_workers_hands_doesnt_fail_the_job(dispatch):
    job = nightly(source_alias=dispatch.source.alias)
    sync(job)
    later = timezone.now() + dt.timedelta(minutes=1)
    MigrationCheckpoint.objects.update(lease_until=later, lease_token=uuid.uuid4())

    assert "coming to its end" in tick(job, job.next_run_at)

    assert (job.status, job.error_message) == ("scheduled", "")
    assert job.next_run_at > timezone.now()


def test_a_tick_of_a_cancelled_job_starts_nothing():
    job = nightly()
    moment = job.next_run_at
    job = control.request_cancel(SYNC, job)
    assert (job.status, job.next_run_at) == ("cancelled", None)

    assert "it is cancelled, and has no schedule any more" in tick(job, moment)
    assert not SynchronizationRun.objects.exists()


def test_a_tick_of_a_job_that_is_gone_says_so():
    job = nightly()
    pk = str(job.pk)
    job.delete()

    assert tasks.run_scheduled(pk) == "The job is gone."


def test_a_run_by_hand_beside_a_missed_tick_leaves_it_due(dispatch):
    job = nightly(source_alias=dispatch.source.alias)
    moment = miss(job, minutes=1)
    start_run(job, by=None, purpose="compare")
    sync_to_end(job)

    assert (job.status, job.next_run_at) == ("scheduled", None)
    assert deliver() == ["Started run 2."]
    sync_to_end(job)
    assert job.last_run_at > moment
    assert job.next_run_at == Schedule.objects.get().next_run > job.last_run_at


def test_a_schedule_that_somebody_removed_comes_back_with_the_next_run(dispatch):
    job = nightly(source_alias=dispatch.source.alias)
    Schedule.objects.all().delete()

    sync(job)

    assert job.next_run_at == Schedule.objects.get().next_run
