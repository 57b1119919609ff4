import datetime as dt
import threading
import uuid

import pytest
from django.db import connection, transaction
from django.utils import timezone
from waffle.testutils import override_switch

from operations.gates.concurrency import concurrency
from operations.models import Event
from tests.operations.toy.kind import TOY
from tests.operations.toy.models import ToyJob


def exceptions(operation, ages_seconds):
    for sequence, age in enumerate(ages_seconds, start=1_000):
        event = Event.objects.create(
            kind="toy", operation_id=str(operation.pk), sequence=sequence, name="toy.exception"
        )
        then = timezone.now() - dt.timedelta(seconds=age)
        Event.objects.filter(pk=event.pk).update(created_at=then)


# --- feature flag ---------------------------------------------------------------


def test_feature_flag_off_waits_30_seconds_and_says_so(driver):
    operation = TOY.start()

    with override_switch("toy", active=False):
        assert driver.run_to_end(operation) == ["waiting"]

    job = driver.job(operation)
    assert operation.display_status == "waiting"
    assert "toy" in operation.waiting_reason
    assert "off" in operation.waiting_reason
    assert 25 < (job.not_before - timezone.now()).total_seconds() <= 30
    assert job.due_at == job.not_before == operation.waiting_until
    assert driver.names(operation)[-1] == "waiting"
    assert driver.numbers(operation) == []


def test_feature_flag_on_again_goes_on_and_counts_the_wait(driver):
    operation = TOY.start()
    with override_switch("toy", active=False):
        driver.run_to_end(operation)
    job = driver.job(operation)
    ToyJob.objects.filter(pk=job.pk).update(not_before=timezone.now())
    long_ago = timezone.now() - dt.timedelta(seconds=40)
    type(operation).objects.filter(pk=operation.pk).update(waiting_since=long_ago)

    driver.run_to_end(operation)

    assert operation.status == "completed"
    assert operation.waiting_reason == ""
    assert operation.waited_seconds >= 40


def test_feature_flag_nobody_has_set_is_on(driver):
    operation = TOY.start()
    driver.run_to_end(operation)
    assert operation.status == "completed"


def test_waiting_told_once_while_the_reason_stays(driver):
    operation = TOY.start()
    with override_switch("toy", active=False):
        for _ in range(3):
            driver.run_to_end(operation)
            operation.jobs.update(not_before=None)
    assert driver.names(operation).count("waiting") == 1


# --- exception throttle -----------------------------------------------------------


def test_throttle_five_exceptions_in_a_minute_waits_until_the_first_is_old(driver):
    operation = TOY.start()
    exceptions(operation, [50, 10, 5, 2, 1])

    assert driver.run_to_end(operation) == ["waiting"]

    job = driver.job(operation)
    assert "exceptions" in operation.waiting_reason
    assert 5 < (job.not_before - timezone.now()).total_seconds() <= 10


@pytest.mark.parametrize("ages", [[50, 10, 5, 2], [61, 62, 63, 64, 65, 66], [70, 10, 5, 2, 1]])
def test_throttle_fewer_than_five_in_a_minute_proceeds(driver, ages):
    operation = TOY.start()
    exceptions(operation, ages)
    assert driver.run_to_end(operation)[-1] == "completed"


def test_throttle_counts_the_exceptions_of_all_operations_of_the_kind(driver):
    other, operation = TOY.start(), TOY.start()
    exceptions(other, [5, 4, 3, 2, 1])
    assert driver.run_to_end(operation) == ["waiting"]


# --- concurrency --------------------------------------------------------------------


def occupy(jobs):
    until = timezone.now() + dt.timedelta(minutes=1)
    for job in jobs:
        ToyJob.objects.filter(pk=job.pk).update(lease_token=uuid.uuid4(), lease_until=until)


def test_concurrency_all_places_taken_waits(driver, settings):
    settings.OPERATION_MAX_CONCURRENT_JOBS = 2
    occupy(TOY.start().jobs.all() | TOY.start().jobs.all())
    operation = TOY.start()

    assert driver.run_to_end(operation) == ["waiting"]

    assert "2 of at most 2" in operation.waiting_reason
    assert driver.job(operation).attempts == 0


def test_concurrency_lease_that_ran_out_leaves_its_place(driver, settings):
    settings.OPERATION_MAX_CONCURRENT_JOBS = 1
    dead = TOY.start()
    past = timezone.now() - dt.timedelta(seconds=1)
    dead.jobs.update(lease_token=uuid.uuid4(), lease_until=past)

    assert driver.run_to_end(TOY.start())[-1] == "completed"


@pytest.mark.django_db(transaction=True)
def test_concurrency_two_claims_at_once_share_one_place(settings):
    settings.OPERATION_MAX_CONCURRENT_JOBS = 1
    job = TOY.start().jobs.get()
    inside, verdicts = threading.Event(), []

    with transaction.atomic():
        assert concurrency(TOY) is None

        def second_claim():
            inside.set()
            with transaction.atomic():
                verdicts.append(concurrency(TOY))
            connection.close()

        thread = threading.Thread(target=second_claim)
        thread.start()
        inside.wait(timeout=10)
        occupy([job])
    thread.join(timeout=10)

    assert verdicts[0] is not None
