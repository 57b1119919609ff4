import datetime as dt
import io
import threading

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler

from operations import control, retention
from operations.models import Event, IdempotencyKey
from operations.tasks import prune
from tests.factories.content import UserFactory
from tests.operations.toy.kind import TOY
from tests.operations.toy.models import ToyOperation

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def thirty_days(settings):
    settings.OPERATION_KEEP_EVENTS_DAYS = 30


def ended(driver, days_ago, **options):
    """A toy operation that completed so many days ago."""
    operation = TOY.start(**options)
    driver.run_to_end(operation)
    _move_end(operation, days_ago)
    return operation


def _move_end(operation, days_ago):
    moment = timezone.now() - dt.timedelta(days=days_ago)
    ToyOperation.objects.filter(pk=operation.pk).update(ended_at=moment)
    Event.objects.filter(kind="toy", operation_id=str(operation.pk)).update(created_at=moment)


def key_of(operation, days_ago):
    key = IdempotencyKey.objects.create(
        kind="toy", key=f"k{operation.pk}", request_hash="", operation_id=str(operation.pk)
    )
    moment = timezone.now() - dt.timedelta(days=days_ago)
    IdempotencyKey.objects.filter(pk=key.pk).update(created_at=moment)
    return key


@pytest.mark.parametrize(("days_ago", "kept"), [(29, True), (31, False)])
def test_prune_takes_events_of_operations_that_ended_before(driver, days_ago, kept):
    operation = ended(driver, days_ago)
    number = len(driver.events(operation))
    pruned = retention.prune()
    assert bool(driver.events(operation)) is kept
    assert pruned.rows["events"] == (0 if kept else number)
    assert pruned.finished


def test_prune_leaves_old_events_of_an_active_operation(driver):
    operation = TOY.start()
    driver.run(driver.job(operation, stage="count"), budget_seconds=0)
    control.request_pause(TOY, operation)
    Event.objects.update(created_at=timezone.now() - dt.timedelta(days=400))
    before = driver.events(operation)
    retention.prune()
    assert driver.events(operation) == before != []


def test_prune_takes_events_of_operations_that_are_gone(driver):
    old, young = ended(driver, 31), ended(driver, 1)
    gone = [old.pk, young.pk]
    ToyOperation.objects.filter(pk__in=gone).delete()
    retention.prune()
    assert {int(pk) for pk in Event.objects.values_list("operation_id", flat=True)} == {gone[1]}


def test_prune_in_small_batches_and_pages_takes_all(driver, monkeypatch):
    monkeypatch.setattr(retention, "ROWS", 2)
    monkeypatch.setattr(retention, "OPERATIONS", 2)
    operations = [ended(driver, days) for days in (40, 1, 40, 40, 1)]
    retention.prune()
    assert [bool(driver.events(operation)) for operation in operations] == [
        False,
        True,
        False,
        False,
        True,
    ]


def test_prune_numbers_of_a_retried_operation_go_on_where_they_were(driver):
    operation = TOY.start()
    job = driver.job(operation, stage="count")
    with transaction.atomic():
        control.fail(TOY, job, code="test", message="Failed for a test.", trace="")
    last = driver.events(operation)[-1].sequence
    _move_end(operation, 31)
    retention.prune()
    control.retry(TOY, operation)
    assert [event.sequence for event in driver.events(operation)] == [last + 1]


def test_prune_takes_old_keys_but_those_of_active_operations(driver):
    active, done = TOY.start(), ended(driver, 40)
    kept = [key_of(active, 40), key_of(ended(driver, 1), 1)]
    key_of(done, 40)
    assert retention.prune().rows["idempotency keys"] == 1
    assert list(IdempotencyKey.objects.order_by("pk")) == kept


def test_prune_nothing_where_everything_is_kept_for_ever(driver, settings):
    settings.OPERATION_KEEP_EVENTS_DAYS = 0
    operation = ended(driver, 4_000)
    assert "events" not in retention.prune().rows
    assert driver.events(operation)


def test_prune_stops_when_time_is_up_and_the_task_goes_on_with_the_rest(driver, settings):
    settings.OPERATION_TIME_BUDGET_SECONDS = 0
    operation = ended(driver, 31)
    OrmQ.objects.all().delete()
    prune()
    assert driver.events(operation)
    [task] = OrmQ.objects.all()
    assert task.task["func"] == "operations.tasks.prune"

    settings.OPERATION_TIME_BUDGET_SECONDS = 20
    OrmQ.objects.all().delete()
    prune()
    assert not driver.events(operation)
    assert not OrmQ.objects.exists()


def test_prune_command_dry_run_counts_and_leaves_all(driver):
    operation = ended(driver, 31)
    number = len(driver.events(operation))
    out = io.StringIO()
    call_command("prune", "--dry-run", stdout=out)
    assert f"events: {number} due" in out.getvalue()
    assert len(driver.events(operation)) == number
    call_command("prune", stdout=out)
    assert f"events: {number} pruned" in out.getvalue()
    assert not driver.events(operation)


@pytest.mark.django_db(transaction=True)
def test_prune_while_another_one_prunes_leaves_it_to_that_one(driver):
    operation = ended(driver, 31)
    holds, done = threading.Event(), threading.Event()

    def other():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [retention.LOCK_SPACE])
            holds.set()
            done.wait(timeout=10)
        connection.close()

    thread = threading.Thread(target=other)
    thread.start()
    holds.wait(timeout=10)
    pruned = retention.prune()
    done.set()
    thread.join(timeout=10)
    assert (sum(pruned.rows.values()), pruned.finished) == (0, True)
    assert driver.events(operation)


def test_schedule_is_made_once_and_left_as_somebody_changed_it():
    retention.ensure_scheduled()
    schedule = Schedule.objects.get(func=retention.TASK)
    assert schedule.schedule_type == Schedule.DAILY
    assert timezone.now() < schedule.next_run <= timezone.now() + dt.timedelta(days=1)
    moved = schedule.next_run + dt.timedelta(hours=5)
    Schedule.objects.update(next_run=moved)
    retention.ensure_scheduled()
    assert Schedule.objects.get(func=retention.TASK).next_run == moved


@pytest.mark.django_db(transaction=True)
def test_schedule_made_by_many_machines_at_once_is_one():
    barrier = threading.Barrier(4)

    def machine():
        barrier.wait(timeout=10)
        retention.ensure_scheduled()
        connection.close()

    threads = [threading.Thread(target=machine) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert Schedule.objects.filter(func=retention.TASK).count() == 1


@pytest.mark.django_db(transaction=True)  # django-q closes the connection
def test_schedule_that_was_missed_for_days_runs_once():
    retention.ensure_scheduled()
    missed = Schedule.objects.get(func=retention.TASK).next_run - dt.timedelta(days=4)
    Schedule.objects.update(next_run=missed)

    for _ in range(3):  # as three clusters would
        scheduler(broker=get_broker())

    [task] = OrmQ.objects.all()
    assert task.task["func"] == retention.TASK
    assert Schedule.objects.get(func=retention.TASK).next_run > timezone.now()


def test_keys_of_users_are_pruned_like_nobodys(driver):
    key = key_of(ended(driver, 40), 40)
    IdempotencyKey.objects.filter(pk=key.pk).update(user=UserFactory())
    assert retention.prune().rows["idempotency keys"] == 1
