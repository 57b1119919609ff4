import datetime as dt
import math

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from operations.gates.load import latency
from operations.gates.load.latency import WARM_UP_STEPS, Latency, observe
from operations.models import Event
from tests.operations.toy.kind import TOY
from tests.operations.toy.models import ToyJob

NOW = dt.datetime(2026, 5, 1, 12, 0, 0, tzinfo=dt.UTC)


def after(*elapsed_ms, before=None, rows=1_000, size=1_000, max_slowdown=4.0, floor_ms=1_000.0):
    """The latency after steps that took so long."""
    found = before or Latency()
    for elapsed in elapsed_ms:
        found = observe(
            found,
            size=size,
            rows=rows,
            elapsed_ms=elapsed,
            max_slowdown=max_slowdown,
            floor_ms=floor_ms,
            now=NOW,
        )
    return found


USUAL = [500.0] * WARM_UP_STEPS


def test_observe_first_steps_are_averaged_and_hold_nothing():
    found = after(100.0, 300.0, 8_000.0, 100.0, 500.0)
    assert found.ms_per_row == pytest.approx(1.8)
    assert found.hold_until is None


def test_observe_usual_step_holds_nothing():
    assert after(*USUAL, 1_900.0).hold_until is None


def test_observe_slow_step_holds_five_seconds():
    found = after(*USUAL, 2_100.0)
    assert found.slowdown == pytest.approx(4.2)
    assert found.hold_until == NOW + dt.timedelta(seconds=5)


def test_observe_slow_steps_in_a_row_hold_longer_up_to_a_minute():
    found, holds = after(*USUAL), []
    for _ in range(6):
        found = after(found.ms_per_row * 50_000, before=found)
        holds.append((found.hold_until - NOW).total_seconds())
    assert holds == [5, 10, 20, 40, 60, 60]


def test_observe_usual_step_after_slow_ones_starts_again_at_five_seconds():
    found = after(500.0, before=after(*USUAL, 9_000.0, 9_000.0))
    assert found.hold_until is None
    again = after(found.ms_per_row * 10_000, before=found)
    assert again.hold_until == NOW + dt.timedelta(seconds=5)


def test_observe_slow_step_below_the_floor_holds_nothing():
    assert after(*[10.0] * WARM_UP_STEPS, 999.0).hold_until is None


def test_observe_smaller_step_is_measured_by_its_rows():
    found = after(1_200.0, before=after(*USUAL), rows=200, size=200)
    assert found.slowdown == pytest.approx(12.0)
    assert found.hold_until is not None


def test_observe_step_cut_short_says_nothing():
    before = after(*USUAL)
    assert after(60_000.0, before=before, rows=3) == before
    assert after(60_000.0, before=before, rows=0, size=0) == before


def test_observe_turned_off_averages_and_holds_nothing():
    found = after(*USUAL, 60_000.0, max_slowdown=0)
    assert found.hold_until is None
    assert found.ms_per_row > 0.5


def test_observe_step_that_hangs_does_not_spoil_the_average():
    assert after(*USUAL, 3_600_000.0).ms_per_row < 1.0


@given(st.floats(4.1, 1e6), st.floats(0.001, 1e3), st.floats(1.1, 100))
def test_observe_pace_that_stays_slow_becomes_the_usual_one(slowdown, usual_ms, max_slowdown):
    """No pace is held for ever, and the more extreme it is, only logarithmically longer."""
    options = {"max_slowdown": max_slowdown, "floor_ms": 0.0}
    found = after(*[usual_ms] * WARM_UP_STEPS, **options)
    growth = math.log(1 + latency.WEIGHT * (max_slowdown - 1))
    most = max(math.ceil(math.log(slowdown / max_slowdown) / growth), 0) + 2
    holds = 0
    while (found := after(usual_ms * slowdown, before=found, **options)).hold_until:
        holds += 1
        assert holds <= most


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0, 1e7)), max_size=40))
def test_observe_any_steps_survive_being_stored(steps):
    found = Latency()
    for rows, elapsed in steps:
        found = after(elapsed, before=found, rows=rows, size=50)
    assert Latency.of(ToyJob(latency=found.as_json())) == found


# --- with a job --------------------------------------------------------------------


@pytest.fixture
def took(monkeypatch):
    """Steps of the toy take so many ms a row, as the runner measures it."""

    def took(*ms_per_row):
        given_ms = iter(ms_per_row)
        real = latency.observed

        def observed(job, *, size, rows, elapsed_ms):
            return real(job, size=size, rows=rows, elapsed_ms=next(given_ms) * rows)

        monkeypatch.setattr("operations.runner.observed", observed)

    return took


def slow_job(driver, took, rows=4_000):
    """A job whose seventh step was ten times slower than those before: it waits."""
    took(*[100.0] * 6, 1_000.0, *[100.0] * 1_000)
    operation = TOY.start(rows=rows)
    assert driver.run_to_end(operation) == ["waiting"]
    return operation


def test_job_whose_step_was_slow_waits_a_moment_and_says_why(driver, took):
    operation = slow_job(driver, took)

    job = driver.job(operation)
    assert job.steps == 7
    assert operation.waiting_reason == (
        "The last step took 10.0 × its usual time (> 4 ×): the database is slow."
    )
    assert 3 < (job.not_before - timezone.now()).total_seconds() <= 5
    assert Event.objects.filter(name="toy.waiting").count() == 1


def test_job_whose_step_was_slow_still_waits_at_another_worker(driver, took):
    operation = slow_job(driver, took)
    operation.jobs.update(not_before=None)  # delivered early, to whichever process

    assert driver.run_to_end(operation) == ["waiting"]
    assert driver.job(operation).steps == 7


def test_job_whose_hold_is_over_goes_on_to_its_end(driver, took, monkeypatch):
    operation = slow_job(driver, took)
    operation.jobs.update(not_before=None)
    in_five_seconds = timezone.now() + dt.timedelta(seconds=5)
    monkeypatch.setattr(latency.timezone, "now", lambda: in_five_seconds)

    driver.run_to_end(operation)

    assert operation.status == "completed"
    assert len(driver.numbers(operation)) == 4_000


def test_job_is_not_held_where_it_is_turned_off(driver, took, settings):
    settings.LOAD_MAX_SLOWDOWN = 0
    took(*[100.0] * 6, 1_000.0, *[100.0] * 1_000)
    operation = TOY.start(rows=4_000)
    driver.run_to_end(operation)
    assert operation.status == "completed"


def test_average_of_a_step_that_is_rolled_back_is_not_kept(driver, took):
    took(*[100.0] * 100)
    operation = TOY.start(rows=4_000)
    driver.run(driver.job(operation), budget_seconds=0)
    before = driver.job(operation).latency
    ToyJob.objects.filter(toy=operation).update(cursor=0)  # its first rows are there already

    driver.run(driver.job(operation))

    assert before["steps"] == 1
    assert driver.job(operation).latency == before
