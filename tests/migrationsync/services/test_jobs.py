"""The verbs of a job: made, changed, removed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils import timezone
from django_q.models import Schedule

from migrationsync.dispatch.models import Office
from migrationsync.exceptions import AlreadyRunning
from migrationsync.models import (
    DataDifferential,
    LegacyIdMapping,
    MigrationCheckpoint,
    SynchronizationJob,
    SynchronizationRun,
)
from migrationsync.services.jobs import change_job, create_job, delete_job
from operations.admin.history import audit
from tests.migrationsync.syncing import begin, made, sync

NIGHTLY = {"cron": "30 2 * * *"}


@pytest.mark.django_db
def test_a_job_that_recurs_is_scheduled_at_once():
    user = User.objects.create_user("ada")

    job = made(schedule_config=NIGHTLY, by=user)

    schedule = Schedule.objects.get(name=f"sync:{job.pk}")
    assert (schedule.func, schedule.cron) == ("migrationsync.tasks.run_scheduled", "30 2 * * *")
    job.refresh_from_db()
    assert job.next_run_at == schedule.next_run > timezone.now()
    assert (job.status, job.requested_by) == ("scheduled", user)


@pytest.mark.django_db
def test_a_job_without_a_schedule_has_no_next_run():
    job = made()

    assert job.next_run_at is None
    assert not Schedule.objects.exists()


BAD = {
    "no entities": ({"entities_to_sync": []}, "entities_to_sync", ""),
    "unknown entity": ({"entities_to_sync": ["ofices"]}, "entities_to_sync", "“offices”"),
    "cron with a word": ({"schedule_config": {"cron": "every day at 2"}}, "schedule_config", ""),
    "cron that never comes": (
        {"schedule_config": {"cron": "0 0 31 2 *"}},
        "schedule_config",
        "has no next run",
    ),
    "cron with seconds": (
        {"schedule_config": {"cron": "0 30 2 * * *"}},
        "schedule_config",
        "has 6 fields",
    ),
    "cron by chance": (
        {"schedule_config": {"cron": "R R * * *"}},
        "schedule_config",
        "“R” in “R R * * *” isn't understood",
    ),
    "cron out of range": ({"schedule_config": {"cron": "61 2 * * *"}}, "schedule_config", ""),
    "cron with step 0": ({"schedule_config": {"cron": "*/0 * * * *"}}, "schedule_config", ""),
    "no minutes": ({"schedule_config": {"interval_minutes": 0}}, "schedule_config", ""),
    "both": (
        {"schedule_config": {"interval_minutes": 5, "cron": "0 0 * * *"}},
        "schedule_config",
        "",
    ),
    "scheduled without": ({"job_type": "scheduled_sync"}, "__all__", "needs a schedule"),
    "batch": ({"max_records_per_batch": 0}, "max_records_per_batch", ""),
    "percent": ({"max_failed_percent": Decimal(101)}, "max_failed_percent", ""),
    "source": ({"source_alias": "nowhere"}, "source_alias", "There is no database “nowhere”"),
    "labels": ({"metadata": {"team": []}}, "metadata", ""),
    "schedule of nothing": ({"schedule_config": None}, "schedule_config", "object"),
    "schedule of a list": ({"schedule_config": []}, "schedule_config", "object"),
    "schedule of a text": ({"schedule_config": ""}, "schedule_config", "object"),
    "labels of nothing": ({"metadata": None}, "metadata", "object"),
    "labels of a list": ({"metadata": []}, "metadata", "object"),
    "NUL in a label": ({"metadata": {"team": "a\0b"}}, "metadata", "NUL"),
    "NUL in a label's name": ({"metadata": {"te\0am": 1}}, "metadata", "NUL"),
    "NUL in a name": ({"job_name": "a\0b"}, "job_name", "NUL"),
    "half a character": ({"metadata": {"team": "\ud800"}}, "metadata", "surrogate"),
    "half a character in a name": ({"job_name": "\udfff"}, "job_name", "surrogate"),
    "no number": ({"metadata": {"limit": float("nan")}}, "metadata", "no JSON"),
    "entities of nothing": ({"entities_to_sync": None}, "entities_to_sync", ""),
    "NUL in an entity": ({"entities_to_sync": ["a\0"]}, "entities_to_sync", ""),
    "NUL in a schedule": ({"schedule_config": {"cron": "0 0 * * *\0"}}, "schedule_config", "NUL"),
    "NUL in a choice": ({"job_type": "a\0"}, "job_type", ""),
    "NUL in an alias": ({"source_alias": "a\0"}, "source_alias", ""),
}


@pytest.mark.django_db
@pytest.mark.parametrize(("fields", "field", "words"), BAD.values(), ids=BAD)
def test_a_job_that_cant_be_is_refused_by_field(fields, field, words):
    said = {"job_name": "Nightly", "entities_to_sync": ["offices"], "source_alias": "default"}

    with pytest.raises(ValidationError) as refused:
        create_job(by=None, **(said | fields))

    assert list(refused.value.message_dict) == [field]
    assert words in str(refused.value.message_dict)
    assert not SynchronizationJob.objects.exists()
    assert not Schedule.objects.exists()


@pytest.mark.django_db
def test_what_follows_from_runs_cant_be_said():
    with pytest.raises(TypeError, match="status, success_rate"):
        made(status="completed", success_rate=100)


@pytest.mark.django_db
def test_a_name_that_is_taken_is_refused():
    made()

    with pytest.raises(ValidationError, match="already exists"):
        made()


@pytest.mark.django_db
def test_change_moves_the_schedule_and_takes_it_away():
    job = made(schedule_config=NIGHTLY)

    job = change_job(job, by=None, schedule_config={"interval_minutes": 15})
    schedule = Schedule.objects.get()
    assert (schedule.minutes, schedule.next_run) == (15, job.next_run_at)

    job = change_job(job, by=None, schedule_config={})
    assert not Schedule.objects.exists()
    assert job.next_run_at is None


@pytest.mark.django_db
def test_change_of_something_else_leaves_the_schedule():
    job = made(schedule_config={"interval_minutes": 15})
    before = job.next_run_at

    job = change_job(job, by=None, max_records_per_batch=7, schedule_config=job.schedule_config)

    assert (job.next_run_at, job.max_records_per_batch) == (before, 7)


@pytest.mark.django_db
def test_a_completed_job_that_gets_a_schedule_waits_for_it(dispatch):
    job = dispatch.job(entities_to_sync=["offices"])
    sync(job, "load")

    job = change_job(job, by=None, schedule_config=NIGHTLY)

    assert job.status == "scheduled"


@pytest.mark.django_db
def test_who_changed_what_is_kept_and_who_removed_it_is_logged(caplog):
    user = User.objects.create_user("ada")
    job = made(schedule_config=NIGHTLY)

    job = change_job(job, by=user, max_deletes=7, schedule_config={}, job_name=job.job_name)
    job = change_job(job, by=user, max_deletes=7)

    told = [(deed.who, deed.what) for deed in audit(job)[1:]]
    assert told == [("ada", "Changed: max deletes, schedule config")]

    with caplog.at_level("INFO", logger="migrationsync.jobs"):
        delete_job(job, by=user)
    assert "ada removed the synchronization “Nightly”" in caplog.text


@pytest.mark.django_db
def test_a_bad_change_is_refused_and_changes_nothing():
    job = made(schedule_config=NIGHTLY)

    with pytest.raises(ValidationError):
        change_job(job, by=None, schedule_config={"cron": "0 0 31 2 *"})

    job.refresh_from_db()
    assert job.schedule_config == NIGHTLY


@pytest.mark.django_db
def test_a_job_whose_run_is_open_isnt_changed_nor_removed():
    job = made()
    begin(job)

    with pytest.raises(AlreadyRunning, match=r"at it already \(sync of offices; run 1\)"):
        change_job(job, by=None, max_deletes=1)
    with pytest.raises(AlreadyRunning):
        delete_job(job, by=None)


def test_delete_removes_the_runs_and_what_they_found_but_not_what_came_over(dispatch):
    dispatch.add_offices(1, 2)
    job = dispatch.job(entities_to_sync=["offices"], schedule_config=NIGHTLY)
    sync(job, "load")
    dispatch.change(1)
    sync(job, "compare")

    delete_job(job, by=None)

    for model in (SynchronizationJob, SynchronizationRun, MigrationCheckpoint, DataDifferential):
        assert not model.objects.exists()
    assert not Schedule.objects.exists()
    assert Office.objects.count() == LegacyIdMapping.objects.count() == 2
