"""How long jobs rest, by arithmetic and through the runner's door."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from operations import control, rest
from operations.rest import LOOK_SECONDS, rest_seconds
from tests.operations.toy.kind import TOY


@pytest.mark.parametrize(
    ("running", "share_percent", "seconds"),
    [
        (1, 100, 0.0),
        (1, 50, 0.2),
        (1, 20, 0.8),
        (2, 100, 0.2),  # each of two works half of the time
        (2, 50, 0.6),
        (1, 200, 0.0),
        (2, 200, 0.0),
        (0, 50, 0.2),  # its own lease has just run out
    ],
)
def test_rest_seconds_share_is_that_of_all_running_jobs_together(
    running: int, share_percent: int, seconds: float
) -> None:
    found = rest_seconds(0.2, running=running, share_percent=share_percent)
    assert found == pytest.approx(seconds)


@given(worked=st.floats(0.001, 60), running=st.integers(1, 50), share=st.integers(1, 100))
def test_rest_seconds_share_is_kept_however_long_steps_are(
    worked: float, running: int, share: int
) -> None:
    rested = rest_seconds(worked, running=running, share_percent=share)
    assert running * worked / (worked + rested) == pytest.approx(share / 100)


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long each rest would have been; nobody sleeps."""
    found: list[float] = []
    monkeypatch.setattr(rest, "time", SimpleNamespace(sleep=found.append, monotonic=time.monotonic))
    return found


def test_run_with_a_share_rests_after_each_step_but_a_jobs_last(
    driver: Any, rests: list[float], settings: Settings
) -> None:
    settings.LOAD_SHARE_PERCENT = 25
    operation = TOY.start(rows=25)

    driver.run_to_end(operation)

    assert operation.status == "completed"
    assert len(rests) == sum(job.steps - 1 for job in operation.jobs.all()) > 0
    assert all(seconds > 0 for seconds in rests)


def test_run_without_a_share_never_rests(driver: Any, rests: list[float]) -> None:
    driver.run_to_end(TOY.start(rows=25))
    assert rests == []


def test_rest_ends_when_a_pause_is_asked_for(
    driver: Any, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.LOAD_SHARE_PERCENT = 1
    operation = TOY.start(rows=25)
    job = driver.job(operation)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            control.request_pause(TOY, operation)

    monkeypatch.setattr(rest, "time", SimpleNamespace(sleep=sleep))
    rest.rest(TOY, job, worked_seconds=10)
    assert slept == [LOOK_SECONDS] * 3
