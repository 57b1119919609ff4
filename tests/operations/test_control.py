"""Pause, cancel, resume, retry: each edge allowed, refused, asked for twice."""

import datetime as dt
import uuid

import pytest
from django.contrib.auth import get_user_model
from django.db import DataError, connection
from django.utils import timezone

from operations import control
from operations.dispatcher import dispatch_due
from operations.exceptions import InvalidTransition, Refused
from operations.models import Operation
from tests.operations.toy.kind import TOY, misbehaving
from tests.operations.toy.models import ToyOperation


def with_status(status):
    operation = TOY.start()
    ToyOperation.objects.filter(pk=operation.pk).update(status=status)
    operation.refresh_from_db()
    return operation


def running(operation):
    """As if a worker were in the middle of a step."""
    until = timezone.now() + dt.timedelta(minutes=1)
    operation.jobs.update(lease_token=uuid.uuid4(), lease_until=until, status="in_progress")


ALL = set(Operation.Status.values)


@pytest.mark.parametrize(
    ("edge", "allowed"),
    [
        ("start", {"pending"}),
        ("pause", {"pending", "in_progress"}),
        ("resume", {"paused"}),
        ("retry", {"failed"}),
        ("complete", {"in_progress"}),
        ("fail", {"pending", "in_progress"}),
        ("cancel", {"pending", "in_progress", "paused"}),
    ],
)
def test_take_edge_is_allowed_from_its_sources_and_refused_elsewhere(db, edge, allowed):
    for status in ALL:
        operation = with_status(status)
        if status in allowed:
            operation.take(edge)
            assert operation.status == Operation.Status[Operation.EDGES[edge].target]
        else:
            with pytest.raises(InvalidTransition) as refusal:
                operation.take(edge)
            assert refusal.value.status == status
        operation.delete()


def test_take_same_edge_by_two_holders_of_the_row_has_one_winner(db):
    operation = TOY.start()
    first, second = (ToyOperation.objects.get(pk=operation.pk) for _ in range(2))
    first.take("start")
    with pytest.raises(InvalidTransition):
        second.take("start")


def test_pause_idle_operation_is_reached_at_once(driver):
    operation = control.request_pause(TOY, TOY.start())

    assert operation.status == "paused"
    assert operation.requested == ""
    job = driver.job(operation)
    assert (job.status, job.due_at) == ("paused", None)
    assert driver.names(operation) == ["pause_requested", "paused"]


def test_pause_running_operation_is_asked_for_and_reached_after_the_step(driver):
    operation = TOY.start(rows=25)
    job = driver.job(operation)
    seen = []

    def ask(running_job):
        if not seen:
            seen.append(control.request_pause(TOY, operation).display_status)

    with misbehaving(ask):
        assert driver.run(job) == "stopped"

    operation.refresh_from_db()
    assert seen == ["pausing"]
    assert operation.status == "paused"
    # The step that ran when it was asked is kept.
    assert driver.numbers(operation) == [1, 2, 3, 4]


def test_pause_worker_that_dies_before_it_is_reached_leaves_nothing_stuck(driver, monkeypatch):
    operation = TOY.start(rows=25)
    job = driver.job(operation)

    def die(*arguments):
        raise SystemExit

    def ask(running_job):
        control.request_pause(TOY, operation)
        monkeypatch.setattr(control, "settle", die)

    with misbehaving(ask), pytest.raises(SystemExit):
        driver.run(job)
    monkeypatch.undo()
    operation.refresh_from_db()
    assert operation.display_status == "pausing"

    assert dispatch_due() == 1
    assert driver.run(job) == "stopped"
    operation.refresh_from_db()
    assert operation.status == "paused"


def test_pause_asked_for_twice_is_one_request(driver):
    operation = TOY.start()
    running(operation)
    control.request_pause(TOY, operation)
    control.request_pause(TOY, operation)
    assert driver.names(operation) == ["pause_requested"]


def test_pause_redelivered_task_of_a_paused_operation_does_nothing(driver):
    operation = control.request_pause(TOY, TOY.start())
    assert driver.run(driver.job(operation)) == "not_taken"


@pytest.mark.parametrize("status", sorted(ALL - {"pending", "in_progress"}))
def test_pause_anything_that_does_not_run_is_refused(db, status):
    with pytest.raises(InvalidTransition):
        control.request_pause(TOY, with_status(status))


def test_resume_paused_operation_goes_on_to_its_end(driver):
    operation = TOY.start(rows=25)
    driver.run(driver.job(operation), budget_seconds=0)
    control.request_pause(TOY, operation)

    control.resume(TOY, operation)

    assert driver.run_to_end(operation)[-1] == "completed"
    assert driver.numbers(operation) == list(range(1, 26))


def test_resume_clicked_twice_is_refused_the_second_time(driver):
    operation = control.request_pause(TOY, TOY.start())
    control.resume(TOY, operation)
    with pytest.raises(InvalidTransition):
        control.resume(TOY, operation)


def an_hour_passes(operation):
    ToyOperation.objects.filter(pk=operation.pk).update(
        waiting_since=timezone.now() - dt.timedelta(hours=1)
    )
    operation.refresh_from_db()


def test_resume_time_that_it_was_paused_is_no_work(driver):
    operation = control.request_pause(TOY, TOY.start())
    an_hour_passes(operation)
    operation = control.resume(TOY, operation)
    assert operation.waited_seconds == pytest.approx(3600, abs=60)
    assert operation.waiting_since is None


def test_retry_time_between_failure_and_retry_is_no_work(driver):
    operation = TOY.start()

    def break_it(job):
        raise DataError("no")

    with misbehaving(break_it):
        driver.run_to_end(operation)
    an_hour_passes(operation)
    assert control.retry(TOY, operation).waited_seconds == pytest.approx(3600, abs=60)


def test_cancel_running_operation_is_reached_after_the_step(driver):
    operation = TOY.start()
    running(operation)

    operation = control.request_cancel(TOY, operation)
    assert operation.display_status == "cancelling"

    operation.jobs.update(lease_until=timezone.now() - dt.timedelta(seconds=1))
    assert driver.run(driver.job(operation)) == "stopped"
    operation.refresh_from_db()
    assert operation.status == "cancelled"
    assert operation.ended_at


def test_cancel_overrides_a_pause_and_a_pause_never_a_cancel(driver):
    operation = TOY.start()
    running(operation)
    control.request_pause(TOY, operation)
    assert control.request_cancel(TOY, operation).requested == "cancel"
    with pytest.raises(Refused, match="is being cancelled already"):
        control.request_pause(TOY, operation)
    operation.refresh_from_db()
    assert operation.requested == "cancel"


@pytest.mark.django_db(transaction=True)
def test_cancel_whoever_asked_dies_right_after_it_is_committed(driver, monkeypatch):
    operation = control.request_pause(TOY, TOY.start())
    settle, asked = control.settle, []

    def die_behind_the_commit(kind, operation_id):
        asked.append(operation_id)
        if not connection.in_atomic_block:
            raise KeyboardInterrupt
        settle(kind, operation_id)

    monkeypatch.setattr(control, "settle", die_behind_the_commit)
    with pytest.raises(KeyboardInterrupt):
        control.request_cancel(TOY, operation)
    operation.refresh_from_db()
    assert len(asked) == 2
    assert (operation.status, operation.requested) == ("cancelled", "")


def test_cancel_paused_operation_is_reached_at_once(driver):
    operation = control.request_pause(TOY, TOY.start())
    assert control.request_cancel(TOY, operation).status == "cancelled"


@pytest.mark.parametrize("status", ["completed", "cancelled", "failed"])
def test_cancel_ended_operation_is_refused(db, status):
    with pytest.raises(InvalidTransition):
        control.request_cancel(TOY, with_status(status))


def test_retry_failed_operation_goes_on_from_the_failed_step(driver):
    operation = TOY.start(rows=25)

    def break_at_the_second(job):
        if job.cursor:
            raise DataError("once")

    with misbehaving(break_at_the_second):
        driver.run_to_end(operation)

    user = get_user_model().objects.create_user("olga")
    operation = control.retry(TOY, operation, by=user)

    assert (operation.status, operation.error_code) == ("in_progress", "")
    assert driver.events(operation)[-1].payload["by"] == "olga"
    assert driver.run_to_end(operation)[-1] == "completed"
    assert driver.numbers(operation) == list(range(1, 26))


@pytest.mark.parametrize("status", sorted(ALL - {"failed"}))
def test_retry_anything_that_has_not_failed_is_refused(db, status):
    with pytest.raises(InvalidTransition):
        control.retry(TOY, with_status(status))


def test_failed_operation_parks_its_other_lanes(driver):
    operation = TOY.start(rows=4, lanes=2)
    first, second = operation.jobs.all()

    def break_it(job):
        raise DataError("no")

    with misbehaving(break_it):
        assert driver.run(first) == "failed"
    assert driver.run(second) == "stopped"

    second.refresh_from_db()
    assert (second.status, second.due_at) == ("paused", None)
