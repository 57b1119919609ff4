import datetime as dt

import pytest

from operations.pace import pace, waited_up_to
from operations.snapshots import stage_snapshot
from tests.operations.toy.models import ToyOperation

NOW = dt.datetime(2026, 5, 1, 12, 0, 0, tzinfo=dt.UTC)


def stage(**changes):
    began = NOW - dt.timedelta(seconds=100)
    entry = {"done": 500, "total": 1_000, "started_at": began.isoformat(), "waited_before": 0.0}
    return {**entry, **changes}


def test_pace_half_done_says_rate_and_time_left():
    assert pace(stage(), now=NOW, waited_seconds=0.0) == (5.0, 100.0)


def test_pace_waiting_is_left_out_of_both():
    assert pace(stage(), now=NOW, waited_seconds=50.0) == (10.0, 50.0)


def test_pace_waiting_of_earlier_stages_is_not_this_ones():
    assert pace(stage(waited_before=50.0), now=NOW, waited_seconds=50.0) == (5.0, 100.0)


def test_pace_unknown_total_says_no_time_left():
    assert pace(stage(total=None), now=NOW, waited_seconds=0.0) == (5.0, None)


def test_pace_more_done_than_was_counted_says_no_time_left():
    assert pace(stage(done=1_200), now=NOW, waited_seconds=0.0).seconds_left is None


def test_pace_nothing_done_says_nothing():
    assert pace(stage(done=0), now=NOW, waited_seconds=0.0) == (None, None)


def test_pace_stage_that_never_began_says_nothing():
    assert pace({}, now=NOW, waited_seconds=0.0) == (None, None)


def waiting(seconds, **changes):
    since = NOW - dt.timedelta(seconds=seconds)
    return ToyOperation(waiting_since=since, waiting_reason="The database is busy.", **changes)


def test_waited_up_to_counts_the_wait_that_goes_on():
    assert waited_up_to(waiting(30, waited_seconds=12.0), NOW) == 42.0
    assert waited_up_to(ToyOperation(waited_seconds=12.0), NOW) == 12.0


def test_waited_up_to_before_another_machines_clock_is_what_it_waited_before():
    assert waited_up_to(waiting(-5, waited_seconds=12.0), NOW) == 12.0


@pytest.mark.parametrize("seconds", [1, 60, 3_600])
def test_stage_that_waits_keeps_its_time_left_however_long_it_waits(monkeypatch, seconds):
    worked = {"count": stage(started_at=(NOW - dt.timedelta(seconds=100)).isoformat())}
    operation = waiting(0, status="in_progress", progress=worked, waited_seconds=50.0)
    later = NOW + dt.timedelta(seconds=seconds)
    monkeypatch.setattr("operations.snapshots.timezone.now", lambda: later)

    told = stage_snapshot(operation, "count")

    assert (told["rows_per_second"], told["seconds_left"]) == (10, 50.0)
