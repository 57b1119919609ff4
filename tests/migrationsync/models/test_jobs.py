from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from migrationsync.models import SynchronizationJob, SynchronizationRun
from operations.exceptions import InvalidTransition
from tests.factories.sync import JobFactory, RunFactory
from tests.migrationsync.models.refusing import (
    assert_accepted,
    assert_database_refuses,
    assert_refused,
    problems,
)

pytestmark = pytest.mark.django_db

Status = SynchronizationJob.Status
NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
# Where each edge leads, by where it may be taken. The original's, and what the kernel adds:
# pausing and cancelling before the first run, retrying, running again what was cancelled.
EDGES = {
    "start": ({"scheduled"}, "running"),
    "pause": ({"scheduled", "running"}, "paused"),
    "resume": ({"paused"}, "running"),
    "retry": ({"failed"}, "running"),
    "complete": ({"running"}, "completed"),
    "fail": ({"scheduled", "running"}, "failed"),
    "cancel": ({"scheduled", "running", "paused"}, "cancelled"),
    # From running: what was resumed between two runs.
    "schedule": ({"completed", "running", "failed", "cancelled"}, "scheduled"),
}


@pytest.fixture
def job():
    return JobFactory(source_alias="default")


# --- transitions --------------------------------------------------------------------


def test_edges_are_all_that_there_are() -> None:
    assert set(SynchronizationJob.EDGES) == set(EDGES)
    assert set(Status.values) == {
        "scheduled",
        "running",
        "paused",
        "failed",
        "cancelled",
        "completed",
    }


@pytest.mark.parametrize("status", Status.values)
@pytest.mark.parametrize("edge", EDGES)
def test_edge_is_taken_from_the_statuses_it_names_and_no_other(edge, status) -> None:
    job = JobFactory(status=status)
    sources, target = EDGES[edge]
    if status in sources:
        job.take(edge)
    else:
        with pytest.raises(InvalidTransition):
            job.take(edge)
    job.refresh_from_db()
    assert job.status == (target if status in sources else status)


def test_of_two_who_take_one_edge_one_is_refused(job) -> None:
    other = SynchronizationJob.objects.get(pk=job.pk)
    job.take("start")
    with pytest.raises(InvalidTransition):
        other.take("start")


# --- rules --------------------------------------------------------------------------


def test_job_as_it_is_made_keeps_every_rule(job) -> None:
    assert problems(job) == {}
    assert (job.status, job.recurs) == ("scheduled", False)


@pytest.mark.parametrize("next_run_at", [NOW, NOW - HOUR])
def test_next_run_is_after_the_last(job, next_run_at) -> None:
    assert_refused(
        job,
        "The next run must be after the last one.",
        "sync_job_next_run_after_last",
        last_run_at=NOW,
        next_run_at=next_run_at,
    )


@pytest.mark.parametrize(
    "times",
    [
        {"last_run_at": NOW, "next_run_at": NOW + HOUR},
        {"last_run_at": NOW, "next_run_at": None},
        {"last_run_at": None, "next_run_at": NOW},
    ],
    ids=["after", "no next", "never ran"],
)
def test_next_run_may_be_after_the_last_or_missing(job, times) -> None:
    assert_accepted(job, **times)


@pytest.mark.parametrize("rate", [Decimal("-0.01"), Decimal("100.01")])
def test_success_rate_is_in_percent(job, rate) -> None:
    assert_refused(
        job,
        "A success rate is between 0 and 100.",
        "sync_job_success_rate_in_percent",
        success_rate=rate,
    )


@pytest.mark.parametrize("rate", [None, Decimal("0.00"), Decimal("33.33"), Decimal("100.00")])
def test_success_rate_may_be_any_percentage(job, rate) -> None:
    assert_accepted(job, success_rate=rate)


def test_scheduled_sync_has_a_schedule(job) -> None:
    assert_refused(
        job,
        "A scheduled sync needs a schedule: a cron expression, or a number of minutes.",
        "sync_job_scheduled_has_schedule",
        job_type="scheduled_sync",
    )


@pytest.mark.parametrize("schedule", [{"cron": "30 2 * * *"}, {"interval_minutes": 15}])
def test_scheduled_sync_recurs_by_either_kind_of_schedule(job, schedule) -> None:
    assert_accepted(job, job_type="scheduled_sync", schedule_config=schedule)
    assert job.recurs


@pytest.mark.parametrize("job_type", ["manual_sync", "differential_migration"])
def test_other_types_need_no_schedule(job, job_type) -> None:
    assert_accepted(job, job_type=job_type)


def test_job_names_an_entity(job) -> None:
    assert_database_refuses(job, "sync_job_has_entities", entities_to_sync=[])
    job.entities_to_sync = []
    assert list(problems(job)) == ["entities_to_sync"]


@pytest.mark.parametrize("rows", [0, 50_001])
def test_batch_is_within_bounds(job, rows) -> None:
    assert_database_refuses(job, "sync_job_batch_in_range", max_records_per_batch=rows)
    job.max_records_per_batch = rows
    assert "max_records_per_batch" in problems(job)


@pytest.mark.parametrize("rows", [1, 50_000])
def test_batch_may_be_as_its_bounds(job, rows) -> None:
    assert_accepted(job, max_records_per_batch=rows)


@pytest.mark.parametrize("field", ["max_failed_percent", "max_deleted_percent"])
@pytest.mark.parametrize("percent", [Decimal(-1), Decimal("100.01")])
def test_shares_are_in_percent(job, field, percent) -> None:
    setattr(job, field, percent)
    assert list(problems(job)) == [field]


def test_name_is_taken_once(job) -> None:
    assert "job_name" in problems(JobFactory.build(job_name=job.job_name, source_alias="default"))
    with pytest.raises(IntegrityError, match="job_name"), transaction.atomic():
        JobFactory(job_name=job.job_name)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("job_type", "hourly"),
        ("sync_direction", "target_to_source"),
        ("conflict_resolution", "newest_wins"),
        ("status", "pending"),
    ],
)
def test_choices_are_the_originals(job, field, value) -> None:
    setattr(job, field, value)
    assert list(problems(job)) == [field]


# --- clean --------------------------------------------------------------------------


def test_unknown_entity_is_refused_with_what_was_perhaps_meant(job) -> None:
    job.entities_to_sync = ["offices", "profils", "zzz"]
    first, second = problems(job)["entities_to_sync"]
    assert first == "There is no entity “profils”. Did you mean “profiles”?"
    assert second.startswith("There is no entity “zzz”. There are: ")


def test_unknown_database_is_refused_with_those_there_are(job) -> None:
    job.source_alias = "legacie"
    [problem] = problems(job)["source_alias"]
    assert problem.startswith(
        "There is no database “legacie”: set LEGACY_DATABASE_URL, or name one of "
    )
    assert "default" in problem


@pytest.mark.parametrize("entities", ["offices", {"offices": 1}, None, [1], [""]])
def test_entities_that_are_no_list_of_names_are_refused(job, entities) -> None:
    job.entities_to_sync = entities
    assert "entities_to_sync" in problems(job)


# --- runs ---------------------------------------------------------------------------


def test_job_has_one_open_run(job) -> None:
    first = RunFactory(job=job)
    assert "outcome" not in problems(first)
    with (
        pytest.raises(IntegrityError, match="synchronization_runs_one_open"),
        transaction.atomic(),
    ):
        RunFactory(job=job)
    RunFactory()
    first.outcome, first.ended_at = "completed", timezone.now()
    first.save()
    assert RunFactory(job=job).is_open


def test_number_of_a_run_is_given_once(job) -> None:
    run = RunFactory(job=job, outcome="completed")
    with pytest.raises(IntegrityError, match="synchronization_runs_once"), transaction.atomic():
        RunFactory(job=job, number=run.number, outcome="failed")
    RunFactory(number=run.number)


def test_run_with_its_job_goes_and_the_latest_may(job) -> None:
    run = RunFactory(job=job)
    job.latest_run = run
    job.save()
    run.delete()
    job.refresh_from_db()
    assert job.latest_run is None
    RunFactory(job=job)
    job.delete()
    assert not SynchronizationRun.objects.exists()
