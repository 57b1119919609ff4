import datetime as dt

from operations.pace import pace

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
