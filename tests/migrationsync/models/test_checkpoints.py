from __future__ import annotations

import datetime as dt

import pytest
from django.db import IntegrityError, transaction

from migrationsync.models import MigrationCheckpoint
from operations.exceptions import InvalidTransition
from tests.factories.sync import CheckpointFactory
from tests.migrationsync.models.refusing import assert_accepted, assert_refused, problems

pytestmark = pytest.mark.django_db

Status = MigrationCheckpoint.Status
NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
TICK = dt.timedelta(microseconds=1)
# The original's, and what the kernel adds: to be claimed again after a lost lease, to be paused
# before the start, and to be opened again.
EDGES = {
    "start": ({"pending", "in_progress"}, "in_progress"),
    "pause": ({"pending", "in_progress"}, "paused"),
    "resume": ({"paused", "failed"}, "in_progress"),
    "complete": ({"in_progress"}, "completed"),
    "fail": ({"pending", "in_progress"}, "failed"),
    "reopen": ({"completed"}, "paused"),
}


@pytest.fixture
def checkpoint():
    return CheckpointFactory()


def test_edges_are_all_that_there_are() -> None:
    assert set(MigrationCheckpoint.EDGES) == set(EDGES)
    assert set(Status.values) == {"pending", "in_progress", "paused", "failed", "completed"}


@pytest.mark.parametrize("status", Status.values)
@pytest.mark.parametrize("edge", EDGES)
def test_edge_is_taken_from_the_statuses_it_names_and_no_other(edge, status) -> None:
    checkpoint = CheckpointFactory(status=status, error_message="x")
    sources, target = EDGES[edge]
    if status in sources:
        checkpoint.take(edge)
    else:
        with pytest.raises(InvalidTransition):
            checkpoint.take(edge)
    checkpoint.refresh_from_db()
    assert checkpoint.status == (target if status in sources else status)


@pytest.mark.parametrize("ended_at", [NOW + SECOND, NOW, NOW - SECOND, None])
def test_end_is_after_the_start_even_where_clocks_disagree(ended_at) -> None:
    checkpoint = CheckpointFactory(status="in_progress", started_at=NOW)
    checkpoint.take("complete", ended_at=ended_at)
    checkpoint.refresh_from_db()
    expected = NOW + SECOND if ended_at == NOW + SECOND else NOW + TICK
    assert checkpoint.completed_at == expected
    assert checkpoint.ended_at == ended_at


@pytest.mark.parametrize("edge", ["start", "pause", "fail"])
def test_only_completing_sets_the_time_of_completion(edge) -> None:
    checkpoint = CheckpointFactory(status="in_progress", started_at=NOW, error_message="x")
    checkpoint.take(edge, ended_at=NOW + SECOND)
    checkpoint.refresh_from_db()
    assert checkpoint.completed_at is None


@pytest.mark.parametrize("processed", [-1, 6])
def test_no_more_is_processed_than_there_is(checkpoint, processed) -> None:
    assert_refused(
        checkpoint,
        "No more can be processed than there is.",
        "migration_checkpoints_processed_within_total",
        records_processed=processed,
        records_total=5,
    )


@pytest.mark.parametrize("processed", [0, 5])
def test_nothing_or_all_may_be_processed(checkpoint, processed) -> None:
    assert_accepted(checkpoint, records_processed=processed, records_total=5)


@pytest.mark.parametrize("completed_at", [NOW, NOW - SECOND])
def test_completion_is_after_the_start(checkpoint, completed_at) -> None:
    assert_refused(
        checkpoint,
        "It must be completed after it was started.",
        "migration_checkpoints_completed_after_start",
        started_at=NOW,
        completed_at=completed_at,
    )


def test_completion_may_be_a_tick_after_the_start_or_missing(checkpoint) -> None:
    assert_accepted(checkpoint, started_at=NOW, completed_at=NOW + TICK)
    assert_accepted(checkpoint, started_at=NOW, completed_at=None)


def test_failure_says_why(checkpoint) -> None:
    assert_refused(
        checkpoint,
        "A failed checkpoint needs an error message.",
        "migration_checkpoints_failed_says_why",
        status="failed",
    )


def test_failure_that_says_why_is_kept(checkpoint) -> None:
    assert_accepted(checkpoint, status="failed", error_message="The source is gone.")


def test_edge_cannot_fail_it_without_a_reason() -> None:
    checkpoint = CheckpointFactory(status="in_progress")
    with pytest.raises(IntegrityError, match="failed_says_why"), transaction.atomic():
        checkpoint.take("fail")


@pytest.mark.parametrize("field", ["operation_type", "status"])
def test_choices_are_the_originals(checkpoint, field) -> None:
    setattr(checkpoint, field, "other")
    assert list(problems(checkpoint)) == [field]


def test_it_goes_with_its_run(checkpoint) -> None:
    checkpoint.run.delete()
    assert not MigrationCheckpoint.objects.exists()
