import datetime as dt
import threading
import uuid

import pytest
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ

from operations.dispatcher import dispatch_due
from tests.operations.toy.kind import TOY
from tests.operations.toy.models import ToyJob


def seconds_from_now(seconds):
    return timezone.now() + dt.timedelta(seconds=seconds)


def test_dispatch_job_just_enqueued_is_left_alone(driver):
    TOY.start()
    assert dispatch_due() == 0
    assert len(driver.queued()) == 1


def test_dispatch_delivery_that_was_lost_is_made_again(driver):
    operation = TOY.start()
    OrmQ.objects.all().delete()
    operation.jobs.update(due_at=seconds_from_now(-1))

    assert dispatch_due() == 1

    assert driver.queued() == [("toy", driver.job(operation).pk)]
    assert dispatch_due() == 0


def test_dispatch_each_delivery_nobody_took_doubles_the_wait(driver):
    job = driver.job(TOY.start())
    waits = []
    for _ in range(8):
        job.refresh_from_db()
        waits.append(round((job.due_at - timezone.now()).total_seconds()))
        ToyJob.objects.update(due_at=seconds_from_now(-1))
        dispatch_due()
    assert waits == [30, 60, 120, 240, 480, 960, 960, 960]


def test_dispatch_delivery_nobody_took_is_told_as_waiting_for_a_worker(driver):
    operation = TOY.start(rows=25)
    driver.run(driver.job(operation), budget_seconds=0)
    ToyJob.objects.update(due_at=seconds_from_now(-1), heartbeat_at=seconds_from_now(-40))
    for _ in range(3):
        dispatch_due()
        ToyJob.objects.update(due_at=seconds_from_now(-1))
    operation.refresh_from_db()
    assert operation.display_status == "waiting"
    assert operation.waiting_reason == "It waits for a free worker."
    assert driver.names(operation).count("waiting") == 1

    assert driver.run_to_end(operation)[-1] == "completed"
    operation.refresh_from_db()
    assert 40 <= operation.waited_seconds < 60
    assert operation.waiting_reason == ""


def test_dispatch_first_delivery_and_a_dead_workers_job_are_no_wait_for_a_worker(driver):
    fresh = TOY.start()
    died = TOY.start()
    died.jobs.update(
        lease_token=uuid.uuid4(),
        lease_until=seconds_from_now(-2),
        due_at=seconds_from_now(-1),
        deliveries=1,
    )
    dispatch_due()
    for operation in (fresh, died):
        operation.refresh_from_db()
        assert operation.waiting_reason == ""


def test_dispatch_wait_that_ended_is_delivered_and_runs(driver):
    operation = TOY.start()
    operation.jobs.update(due_at=seconds_from_now(-1), not_before=seconds_from_now(-1))

    dispatch_due()

    assert driver.run_to_end(operation)[-1] == "completed"


def test_dispatch_wait_that_has_not_ended_is_left_alone(driver):
    operation = TOY.start()
    operation.jobs.update(due_at=seconds_from_now(5), not_before=seconds_from_now(5))
    assert dispatch_due() == 0


def test_dispatch_dead_workers_job_goes_on_where_it_was(driver):
    operation = TOY.start(rows=25)
    job = driver.job(operation)
    driver.run(job, budget_seconds=0)
    ToyJob.objects.filter(pk=job.pk).update(
        lease_token=uuid.uuid4(),
        lease_until=seconds_from_now(-2),
        due_at=seconds_from_now(-1),
        attempts=1,
    )
    OrmQ.objects.all().delete()

    assert dispatch_due() == 1
    assert driver.run_to_end(operation)[-1] == "completed"
    assert driver.numbers(operation) == list(range(1, 26))


def test_dispatch_running_job_is_left_alone(driver):
    operation = TOY.start()
    operation.jobs.update(
        lease_token=uuid.uuid4(), lease_until=seconds_from_now(60), due_at=seconds_from_now(61)
    )
    assert dispatch_due() == 0


def test_dispatch_ended_job_is_never_due(driver):
    operation = TOY.start()
    driver.run_to_end(operation)
    assert not operation.jobs.exclude(due_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_dispatch_on_two_machines_at_once_delivers_once():
    for _ in range(20):
        TOY.start(rows=1)
    OrmQ.objects.all().delete()
    ToyJob.objects.update(due_at=seconds_from_now(-1))
    barrier = threading.Barrier(2)
    delivered = []

    def dispatch():
        barrier.wait(timeout=10)
        delivered.append(dispatch_due())
        connection.close()

    threads = [threading.Thread(target=dispatch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert sum(delivered) == 20
    assert OrmQ.objects.count() == 20
