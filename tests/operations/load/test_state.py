import logging

import pytest
from django.db import connection, transaction
from django.utils import timezone

from operations.gates.load import database_load, readings, state
from operations.gates.load.reading import Figure, NothingToRead
from tests.operations.load.collectors import Says
from tests.operations.toy.kind import TOY


@pytest.fixture
def only(monkeypatch):
    """The installation has these signals and no other."""

    def only(*collectors):
        monkeypatch.setattr(state, "COLLECTORS", collectors)

    return only


class Clock:
    def __init__(self, monkeypatch):
        self.now = 1_000.0
        monkeypatch.setattr(state.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_readings_are_kept_as_long_as_their_collector_says(only, clock):
    often, seldom = Says(Figure(1), Figure(2)), Says(Figure(1), Figure(2), signal="Seldom")
    seldom.read_again_after_seconds = 30.0
    only(often, seldom)

    readings()
    clock.now += 4.9
    assert [each.value for each in readings()] == [1, 1]
    clock.now += 0.1
    assert [each.value for each in readings()] == [2, 1]
    clock.now += 25
    assert [each.value for each in readings()] == [2, 2]
    assert (often.reads, seldom.reads) == (3, 2)


def test_reading_knows_its_age(only):
    only(Says(Figure(1)))
    (reading,) = readings()
    assert 0 <= reading.age_seconds(timezone.now()) < 60


def test_reading_of_something_older_has_that_ones_age(only):
    then = timezone.now() - timezone.timedelta(seconds=90)
    only(Says(Figure(1, at=then)))
    assert readings()[0].age_seconds(timezone.now()) >= 90


def test_reading_not_configured_is_not_read_and_says_how_to(only):
    collector = Says(Figure(1), limit=None)
    only(collector)
    (reading,) = readings()
    assert collector.reads == 0
    assert (reading.limit, reading.value, reading.error) == (None, None, "")
    assert reading.note == "Set the test."


def test_reading_of_nothing_is_no_error(only, settings):
    settings.LOAD_WHEN_UNREADABLE = "wait"
    only(Says(NothingToRead("No replica is connected.")))
    (reading,) = readings()
    assert (reading.value, reading.error, reading.note) == (None, "", "No replica is connected.")
    assert database_load(TOY) is None


@pytest.mark.parametrize(
    ("error", "told"),
    [(ValueError("Invalid endpoint"), "Invalid endpoint"), (OSError(), "OSError")],
)
def test_reading_that_fails_in_whatever_way_is_an_error_and_is_not_raised(only, error, told):
    only(Says(error), Says(Figure(3), signal="Other"))
    failed, other = readings()
    assert (failed.value, failed.error) == (None, told)
    assert other.value == 3


def test_reading_that_keeps_failing_is_logged_once(only, clock, caplog):
    only(Says(OSError("refused"), OSError("refused"), OSError("no route"), Figure(1)))
    with caplog.at_level(logging.WARNING, logger="operations.load"):
        for _ in range(4):
            readings()
            clock.now += 60
    assert [record.getMessage() for record in caplog.records] == [
        "Database CPU can't be read: refused",
        "Database CPU can't be read: no route",
    ]


def test_postgres_error_is_a_reading_and_leaves_the_callers_transaction_usable(db, settings):
    settings.LOAD_MAX_ACTIVE_SESSIONS = 3
    with transaction.atomic(), connection.cursor() as cursor:
        # In the place of a catalog that this server doesn't have, or doesn't let us see.
        cursor.execute("SET LOCAL search_path = pg_temp, pg_catalog, public")
        cursor.execute("CREATE TEMP TABLE pg_stat_activity (pid int) ON COMMIT DROP")
        reading = readings()[0]
        assert 'column "state" does not exist' in reading.error
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


@pytest.mark.django_db(transaction=True)
def test_postgres_that_is_gone_is_a_reading(settings):
    settings.LOAD_MAX_ACTIVE_SESSIONS = 3
    connection.ensure_connection()
    connection.connection.close()
    try:
        assert readings()[0].error == "the connection is closed"
    finally:
        connection.close()


# --- with a job --------------------------------------------------------------------


def test_busy_database_makes_the_job_wait_a_minute(driver, only):
    operation = TOY.start()
    only(Says(Figure(95)))

    assert driver.run_to_end(operation) == ["waiting"]

    assert operation.waiting_reason == "Database CPU 95% > 80%."
    assert 55 < (driver.job(operation).not_before - timezone.now()).total_seconds() <= 60
    assert operation.waiting_until == driver.job(operation).not_before


def test_busy_database_is_told_once_while_only_the_figure_changes(driver, only, clock):
    operation = TOY.start()
    only(Says(Figure(95), Figure(91.5), Figure(88)))

    for _ in range(3):
        assert driver.run_to_end(operation) == ["waiting"]
        operation.jobs.update(not_before=None)
        clock.now += 60

    assert driver.names(operation).count("waiting") == 1
    assert operation.waiting_reason == "Database CPU 88% > 80%."


def test_another_cause_is_told_as_well(driver, only, clock):
    operation = TOY.start()
    only(Says(Figure(95), Figure(10)), Says(Figure(1), Figure(90), signal="Replication lag"))

    for _ in range(2):
        assert driver.run_to_end(operation) == ["waiting"]
        operation.jobs.update(not_before=None)
        clock.now += 60

    assert driver.names(operation).count("waiting") == 2


def test_unreadable_signal_to_wait_for_makes_the_job_wait_and_says_why(driver, only, settings):
    settings.LOAD_WHEN_UNREADABLE = "wait"
    operation = TOY.start()
    only(Says(OSError("Could not connect to the endpoint " + "and so on " * 100)))

    assert driver.run_to_end(operation) == ["waiting"]

    assert operation.waiting_reason.startswith("Database CPU can't be read: Could not connect")
    assert driver.names(operation).count("feedback") == 0


def test_unreadable_signal_to_go_on_without_is_told_once_per_operation(driver, only, clock):
    operation, other = TOY.start(rows=200), TOY.start(rows=200)
    only(
        Says(OSError("no credentials")),
        Says(OSError("hidden"), signal="Replication lag"),
        Says(Figure(1), signal="Sessions"),
    )

    while operation.status != "completed":  # a claim for each step
        job = operation.jobs.exclude(status="completed").first()
        driver.run(job, budget_seconds=0)
        operation.refresh_from_db()
        clock.now += 60
    driver.run_to_end(other)

    for each in (operation, other):
        told = [
            event.payload["message"] for event in driver.events(each) if "signal" in event.payload
        ]
        assert told == [
            "Database CPU can't be read: no credentials. It goes on without it "
            "(LOAD_WHEN_UNREADABLE).",
            "Replication lag can't be read: hidden. It goes on without it (LOAD_WHEN_UNREADABLE).",
        ]
