"""How long jobs rest, by arithmetic and through the runner's door."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from pytest_django import Settings

from operations import rest
from operations.rest import LONGEST_SECONDS, rest_seconds
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


def test_rest_seconds_long_step_is_bounded_so_that_a_request_is_seen() -> None:
    assert rest_seconds(60, running=1, share_percent=1) == LONGEST_SECONDS


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
