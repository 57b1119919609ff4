"""The one loop, with an operation that only the tests know."""

import datetime as dt
import threading
import uuid

import pytest
from django.db import DataError, connection, transaction
from django.utils import timezone
from waffle.testutils import override_switch

from operations import leases, runner, tasks
from operations.exceptions import UnknownKind, WorkFailed, WorkWaits
from operations.models import Event
from tests.operations.toy import kind as toy
from tests.operations.toy.kind import TOY, Count, misbehaving
from tests.operations.toy.models import ToyJob, ToyRow


def raise_sqlstate(cursor, sqlstate):
    """A real error of the server's, with its state."""
    cursor.execute(f"DO $$ BEGIN RAISE SQLSTATE '{sqlstate}' USING MESSAGE = 'on purpose'; END $$")


def fail_times(times, sqlstate):
    left = [times]

    def behaviour(job):
        if left[0]:
            left[0] -= 1
            with connection.cursor() as cursor:
                raise_sqlstate(cursor, sqlstate)

    return behaviour


def test_run_operation_reaches_its_end_with_every_row_once(driver):
    operation = TOY.start(rows=25)

    outcomes = driver.run_to_end(operation)

    assert outcomes == ["completed", "completed"]
    assert operation.status == "completed"
    assert operation.ended_at >= operation.started_at
    assert driver.numbers(operation) == list(range(1, 26))
    assert operation.progress["count"]["done"] == operation.progress["count"]["total"] == 25


def test_run_on_takes_what_follows_without_the_queues_way(driver):
    operation = TOY.start(rows=25)
    other = TOY.start(rows=5)

    assert tasks.run("toy", driver.job(operation).pk) == "completed"

    operation.refresh_from_db()
    other.refresh_from_db()
    assert (operation.status, other.status) == ("completed", "pending")
    # What was delivered all the same finds nothing to do.
    assert tasks.run("toy", driver.job(operation, stage="check").pk) == "not_taken"


def test_run_on_leaves_what_another_worker_has_taken(driver, monkeypatch):
    operation = TOY.start(rows=25)
    run = runner.run

    def taken_first(kind, job_id, **options):
        outcome = run(kind, job_id, **options)
        leases.claim(TOY, driver.job(operation, stage="check").pk)
        return outcome

    monkeypatch.setattr(runner, "run", taken_first)
    assert tasks.run("toy", driver.job(operation).pk) == "completed"
    assert driver.job(operation, stage="check").status == "in_progress"


def test_run_on_ends_with_its_time(driver, settings):
    settings.OPERATION_TIME_BUDGET_SECONDS = 0
    operation = TOY.start(rows=4)
    assert tasks.run("toy", driver.job(operation).pk) == "completed"
    assert driver.job(operation, stage="check").status == "pending"


def test_run_events_are_in_order_without_a_gap(driver):
    operation = TOY.start(rows=25)
    driver.run_to_end(operation)

    events = driver.events(operation)

    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert operation.event_sequence == len(events)
    names = driver.names(operation)
    assert names[0] == "started"
    assert names[-1] == "completed"
    assert "feedback" in names
    assert sum(event.payload["amount"] for event in events if event.name == "toy.progress") == 25


def test_run_step_size_adapts_within_the_works_bounds(driver):
    operation = TOY.start(rows=500)
    driver.run_to_end(operation)

    job = driver.job(operation, stage="count")
    assert 4 <= job.step_size <= toy.Count.max_size
    assert job.steps < 500 / toy.Count.initial_size


def test_run_redelivered_after_the_end_changes_nothing(driver):
    operation = TOY.start(rows=5)
    driver.run_to_end(operation)
    before = driver.events(operation)

    assert driver.run(driver.job(operation, stage="count")) == "not_taken"
    assert driver.events(operation) == before


def test_run_unknown_kind_says_which_there_are(db):
    with pytest.raises(UnknownKind, match="toy"):
        runner.run("nonsense", 1)


def test_run_unknown_job_is_not_taken(db):
    assert runner.run("toy", 999_999) == "not_taken"


def test_run_budget_spent_gives_the_worker_back_and_queues_the_rest(driver):
    operation = TOY.start(rows=25)
    job = driver.job(operation)
    queued = len(driver.queued())

    assert driver.run(job, budget_seconds=0) == "requeued"

    job.refresh_from_db()
    assert job.cursor == 4
    assert (job.status, job.lease_token) == ("in_progress", None)
    assert len(driver.queued()) == queued + 1
    assert driver.run_to_end(operation)[-1] == "completed"
    assert driver.numbers(operation) == list(range(1, 26))


def test_run_error_in_a_step_fails_the_job_and_keeps_what_was_committed(driver):
    operation = TOY.start(rows=25)

    def break_at_the_second(job):
        if job.cursor:
            raise DataError("that row is too much")

    with misbehaving(break_at_the_second):
        assert driver.run_to_end(operation) == ["failed"]

    job = driver.job(operation)
    assert (operation.status, job.status) == ("failed", "failed")
    assert operation.error_code == "DataError"
    assert "that row is too much" in operation.error_message
    assert "break_at_the_second" in job.traceback
    assert driver.numbers(operation) == [1, 2, 3, 4]
    assert (job.cursor, job.lease_token, job.due_at) == (4, None, None)
    assert driver.names(operation)[-2:] == ["exception", "failed"]


def test_run_expected_failure_gives_its_own_code_and_message(driver):
    operation = TOY.start()

    class NoMoreInk(WorkFailed):
        code = "no_more_ink"

    def run_out(job):
        raise NoMoreInk("There is no more ink: refill it.")

    with misbehaving(run_out):
        driver.run_to_end(operation)

    assert operation.error_code == "no_more_ink"
    assert operation.error_message == "There is no more ink: refill it."
    assert "exception" not in driver.names(operation)


@pytest.mark.parametrize(
    "sqlstate",
    [
        pytest.param("40P01", id="deadlock"),
        pytest.param("40001", id="serialization failure"),
        pytest.param("55P03", id="lock time-out"),
        pytest.param("57014", id="statement time-out"),
    ],
)
def test_run_contention_retries_the_step_with_half_the_size(driver, sqlstate):
    operation = TOY.start(rows=3)

    with misbehaving(fail_times(1, sqlstate)):
        assert driver.run_to_end(operation) == ["completed", "completed"]

    assert driver.numbers(operation) == [1, 2, 3]
    amounts = [e.payload["amount"] for e in driver.events(operation) if e.name == "toy.progress"]
    assert amounts[0] == 2
    assert driver.names(operation).count("exception") == 1


def test_run_contention_that_lasts_puts_the_job_back_and_says_why(driver):
    operation = TOY.start(rows=3)

    with misbehaving(fail_times(100, "40P01")):
        assert driver.run_to_end(operation) == ["waiting"]

    job = driver.job(operation)
    assert "busy" in operation.waiting_reason
    assert job.not_before > timezone.now()
    assert job.step_size == 1
    assert driver.names(operation).count("exception") == 3


def test_run_disk_full_keeps_nothing_of_the_step_waits_and_goes_on(driver):
    operation = TOY.start(rows=3)

    with misbehaving(fail_times(1, "53100")):
        assert driver.run_to_end(operation) == ["waiting"]

    assert "disk is full" in operation.waiting_reason
    assert driver.numbers(operation) == []
    assert driver.names(operation).count("exception") == 1
    job = driver.job(operation)
    assert job.not_before > timezone.now()
    ToyJob.objects.filter(pk=job.pk).update(not_before=None)  # the wait is over
    assert driver.run_to_end(operation)[-1] == "completed"
    assert driver.numbers(operation) == [1, 2, 3]


def test_run_that_waits_often_is_not_taken_for_one_that_kills_its_workers(driver):
    operation = TOY.start()
    job = driver.job(operation)
    ToyJob.objects.filter(pk=job.pk).update(attempts=1)  # one worker did die

    with override_switch(TOY.name, active=False):
        for _ in range(runner.MAX_ATTEMPTS + 1):
            assert driver.run(job) == "waiting"
            ToyJob.objects.filter(pk=job.pk).update(not_before=None)

    job.refresh_from_db()
    assert job.attempts == 1
    assert driver.run_to_end(operation)[-1] == "completed"


def test_run_claimed_job_forgets_the_deliveries_that_nobody_took(driver):
    operation = TOY.start()
    job = driver.job(operation)
    ToyJob.objects.filter(pk=job.pk).update(deliveries=5)

    with override_switch(TOY.name, active=False):
        driver.run(job)

    job.refresh_from_db()
    assert job.deliveries == 0


def test_run_other_database_error_fails_the_job_without_a_retry(driver):
    operation = TOY.start(rows=3)

    with misbehaving(fail_times(1, "22012")):
        assert driver.run_to_end(operation) == ["failed"]

    assert "on purpose" in operation.error_message


def test_run_job_that_never_ends_a_step_is_failed_before_it_kills_more_workers(driver):
    operation = TOY.start()
    job = driver.job(operation)
    ToyJob.objects.filter(pk=job.pk).update(attempts=runner.MAX_ATTEMPTS)

    assert driver.run(job) == "failed"

    operation.refresh_from_db()
    assert operation.error_code == "attempts_exhausted"
    assert driver.numbers(operation) == []


def test_run_committed_step_forgets_earlier_attempts(driver):
    operation = TOY.start()
    job = driver.job(operation)
    ToyJob.objects.filter(pk=job.pk).update(attempts=3)

    driver.run(job)

    job.refresh_from_db()
    assert job.attempts == 0


def test_run_attempt_is_committed_before_the_work(driver):
    operation = TOY.start()
    seen = []

    def look(job):
        seen.append(ToyJob.objects.get(pk=job.pk).attempts)

    with misbehaving(look):
        driver.run(driver.job(operation), budget_seconds=0)

    assert seen == [1]


def test_run_lease_taken_over_between_steps_stops_quietly(driver):
    operation = TOY.start(rows=25)
    job = driver.job(operation)
    steps = []
    prepare = toy.Count.prepare

    def prepare_slowly(self, job, size):
        steps.append(size)
        if len(steps) == 2:  # another worker takes the job while this one is outside the database
            ToyJob.objects.filter(pk=job.pk).update(lease_token=uuid.uuid4())
        return prepare(self, job, size)

    toy.Count.prepare = prepare_slowly
    try:
        assert driver.run(job) == "lost"
    finally:
        toy.Count.prepare = prepare

    operation.refresh_from_db()
    assert operation.status == "in_progress"
    assert driver.numbers(operation) == [1, 2, 3, 4]


def test_run_two_lanes_complete_the_stage_once(driver):
    operation = TOY.start(rows=0, lanes=2)

    driver.run_to_end(operation)

    assert operation.status == "completed"
    assert operation.jobs.filter(stage="check").count() == 1


def test_run_operation_failed_by_another_lane_rolls_the_step_back(driver):
    operation = TOY.start(rows=4, lanes=2)
    first, second = operation.jobs.all()

    def fail_the_operation(job):
        type(operation).objects.filter(pk=operation.pk).update(
            status="failed", error_code="elsewhere"
        )

    with misbehaving(fail_the_operation):
        assert driver.run(second) == "stopped"

    assert driver.numbers(operation) == []
    assert first.status == "pending"


@pytest.mark.django_db(transaction=True)
def test_run_same_job_delivered_twice_at_once_runs_once():
    operation = TOY.start(rows=40)
    job = operation.jobs.get()
    barrier = threading.Barrier(2)
    outcomes = []

    def deliver():
        barrier.wait(timeout=10)
        try:
            outcomes.append(str(runner.run("toy", job.pk)))
        finally:
            connection.close()

    threads = [threading.Thread(target=deliver) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert sorted(outcomes) == ["completed", "not_taken"]
    assert ToyRow.objects.filter(toy=operation).count() == 40
    assert ToyJob.objects.filter(toy=operation, stage="check").count() == 1


@pytest.mark.django_db(transaction=True)
def test_run_connection_cut_during_a_step_goes_on_by_itself():
    operation = TOY.start(rows=10)
    job = operation.jobs.get()
    cuts = []

    def cut(job):
        if cuts:
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            cuts.append(cursor.fetchone()[0])
            cursor.execute("SELECT pg_terminate_backend(%s)", cuts)

    with misbehaving(cut):
        assert runner.run("toy", job.pk) == "completed"

    assert cuts
    assert ToyRow.objects.filter(toy=operation).count() == 10


@pytest.mark.django_db(transaction=True)
def test_run_event_is_seen_only_with_what_it_tells():
    """A watcher on another connection never sees a progress event before its rows."""
    operation = TOY.start(rows=8)
    seen = []

    def look(job):
        def other_connection():
            seen.append(
                (
                    Event.objects.filter(
                        operation_id=str(operation.pk), name="toy.progress"
                    ).count(),
                    ToyRow.objects.filter(toy=operation).count(),
                )
            )
            connection.close()

        thread = threading.Thread(target=other_connection)
        thread.start()
        thread.join(timeout=10)

    with misbehaving(look):
        runner.run("toy", operation.jobs.get().pk)

    assert seen[0] == (0, 0)
    assert seen[1] == (1, 4)


def test_run_future_job_is_not_taken_before_its_time(driver):
    operation = TOY.start()
    job = driver.job(operation)
    later = timezone.now() + dt.timedelta(minutes=5)
    ToyJob.objects.filter(pk=job.pk).update(not_before=later)

    assert driver.run(job) == "not_taken"


def test_delivery_is_part_of_the_transaction_it_is_made_in(driver):
    def start_and_fail():
        with transaction.atomic():
            TOY.start()
            assert len(driver.queued()) == 1
            raise RuntimeError

    with pytest.raises(RuntimeError):
        start_and_fail()

    assert driver.queued() == []


def test_run_that_waits_for_a_long_reason_tells_what_there_is_room_for(driver, monkeypatch):
    def waits(self, job, size):
        raise WorkWaits(30, "The other side says: " + "away " * 100)

    operation = TOY.start(rows=3)
    monkeypatch.setattr(Count, "prepare", waits)

    assert driver.run_to_end(operation) == ["waiting"]

    assert operation.waiting_reason.startswith("The other side says: away")
    assert len(operation.waiting_reason) <= 255


def test_run_stage_begins_with_what_is_prepared_for_its_first_step(driver, monkeypatch):
    prepared_at = []

    def prepare(self, job, size):
        prepared_at.append(timezone.now())
        return f"prepared {size}"

    operation = TOY.start(rows=3)
    monkeypatch.setattr(Count, "prepare", prepare)

    driver.run_to_end(operation)

    began_at = dt.datetime.fromisoformat(operation.progress["count"]["started_at"])
    assert began_at <= prepared_at[0]


def test_time_in_the_queue_between_two_workers_is_no_work(driver):
    operation = TOY.start(rows=25)
    driver.run(driver.job(operation), budget_seconds=0)
    operation.jobs.update(heartbeat_at=timezone.now() - dt.timedelta(seconds=90))
    driver.run(driver.job(operation), budget_seconds=0)
    operation.refresh_from_db()
    assert 90 <= operation.waited_seconds < 100


def test_time_in_the_queue_beside_a_lane_at_work_is_no_wait(driver):
    operation = TOY.start(rows=25, lanes=2)
    first, second = operation.jobs.order_by("pk")
    driver.run(first, budget_seconds=0)
    driver.run(second, budget_seconds=0)
    operation.jobs.filter(pk=first.pk).update(
        heartbeat_at=timezone.now() - dt.timedelta(seconds=90)
    )
    driver.run(first, budget_seconds=0)
    operation.refresh_from_db()
    assert operation.waited_seconds < 2
