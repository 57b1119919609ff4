import datetime as dt
import threading
import uuid

import boto3
import pytest
from botocore.stub import Stubber
from django.db import connection, transaction
from django.utils import timezone
from waffle.testutils import override_switch

from operations.gates import load
from operations.gates.concurrency import concurrency
from operations.gates.load import Reading, decide
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


# --- database load ----------------------------------------------------------------------


def reading(value, limit=80, error=""):
    return Reading("Database CPU", value, limit, "%", error)


def test_decide_over_the_limit_waits_and_gives_both_figures():
    wait = decide([reading(86.4)], when_unreadable="proceed")
    assert wait.seconds == 60
    assert wait.reason == "Database CPU 86% > 80%."


def test_decide_at_the_limit_proceeds():
    assert decide([reading(80.0)], when_unreadable="wait") is None


def test_decide_unreadable_follows_the_setting():
    unreadable = [reading(None, error="no credentials")]
    assert decide(unreadable, when_unreadable="proceed") is None
    assert "no credentials" in decide(unreadable, when_unreadable="wait").reason


def test_load_busy_database_makes_the_job_wait(driver, monkeypatch):
    operation = TOY.start()
    monkeypatch.setattr(load, "COLLECTORS", (lambda: reading(95.0),))

    assert driver.run_to_end(operation) == ["waiting"]

    assert operation.waiting_reason == "Database CPU 95% > 80%."
    assert 55 < (driver.job(operation).not_before - timezone.now()).total_seconds() <= 60


def test_load_not_configured_reads_nothing(db):
    assert load.readings() == []


@pytest.mark.django_db(transaction=True)
def test_active_sessions_counts_other_sessions_that_run_something(settings):
    settings.LOAD_MAX_ACTIVE_SESSIONS = 3
    idle = load.active_sessions().value
    started, done = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(77)")
            started.set()
            done.wait(timeout=20)
        connection.close()

    def wait_for_lock():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(77)")
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    started.wait(timeout=10)
    waiter = threading.Thread(target=wait_for_lock)
    waiter.start()
    try:
        deadline = timezone.now() + dt.timedelta(seconds=10)
        while load.active_sessions().value <= idle and timezone.now() < deadline:
            pass
        assert load.active_sessions() == Reading("Active database sessions", idle + 1, 3, "")
    finally:
        done.set()
        holder.join(timeout=10)
        waiter.join(timeout=10)


class CloudWatch:
    def __init__(self, monkeypatch, settings):
        settings.LOAD_RDS_INSTANCE = "production-1"
        client = boto3.client(
            "cloudwatch",
            region_name="eu-central-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self.stub = Stubber(client)
        self.stub.activate()
        monkeypatch.setattr(load, "_cloudwatch", lambda: client)

    def answers(self, *averages):
        now = timezone.now()
        points = [
            {"Timestamp": now - dt.timedelta(minutes=age), "Average": average}
            for age, average in enumerate(averages)
        ]
        self.stub.add_response("get_metric_statistics", {"Datapoints": points[::-1]})


@pytest.fixture
def cloudwatch(monkeypatch, settings):
    return CloudWatch(monkeypatch, settings)


def test_rds_cpu_takes_the_newest_minute(cloudwatch):
    cloudwatch.answers(91.5, 20.0, 10.0)
    assert load.rds_cpu() == Reading("Database CPU", 91.5, 80, "%")


def test_rds_cpu_without_recent_figures_is_unreadable(cloudwatch):
    cloudwatch.answers()
    assert load.rds_cpu().value is None


def test_rds_cpu_refused_is_unreadable_and_says_why(cloudwatch):
    cloudwatch.stub.add_client_error("get_metric_statistics", "AccessDenied", "not yours")
    found = load.rds_cpu()
    assert found.value is None
    assert "not yours" in found.error
