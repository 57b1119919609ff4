"""When a job recurs: moments, also where the clocks change, their words, and what is refused."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from migrationsync.schedules import check, in_words, next_runs

BERLIN = "Europe/Berlin"


def moments(cron, after, number, zone=BERLIN):
    with timezone.override(zone):
        return next_runs({"cron": cron}, number=number, after=after)


def at(*args, zone=BERLIN, fold=0):
    return dt.datetime(*args, tzinfo=ZoneInfo(zone), fold=fold)


def shown(found):
    return [f"{each:%d. %H:%M %z}" for each in found]


def test_a_night_without_half_past_two_runs_at_the_next_moment_there_is():
    assert shown(moments("30 2 * * *", at(2026, 3, 28, 12), 2)) == [
        "29. 03:00 +0200",
        "30. 02:30 +0200",
    ]


def test_a_night_with_two_half_past_two_runs_once():
    assert shown(moments("30 2 * * *", at(2026, 10, 24, 12), 2)) == [
        "25. 02:30 +0200",
        "26. 02:30 +0100",
    ]


def test_by_the_clock_the_hour_that_comes_twice_is_run_twice():
    assert shown(moments("30 * * * *", at(2026, 10, 25, 1, 45), 3)) == [
        "25. 02:30 +0200",
        "25. 02:30 +0100",
        "25. 03:30 +0100",
    ]


@settings(max_examples=40, deadline=None)
@given(
    hour=st.integers(0, 23),
    minute=st.integers(0, 59),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "UTC", "Asia/Kolkata"]),
    day=st.dates(dt.date(2026, 1, 1), dt.date(2027, 12, 31)),
)
def test_a_fixed_time_of_the_day_comes_once_each_day_whatever_the_clocks_do(
    hour, minute, zone, day
):
    after = dt.datetime.combine(day, dt.time(0), ZoneInfo(zone)) - dt.timedelta(seconds=1)

    found = moments(f"{minute} {hour} * * *", after, 5, zone)

    assert [each.date() for each in found] == [day + dt.timedelta(days=i) for i in range(5)]


@settings(max_examples=40, deadline=None)
@given(
    minutes=st.integers(1, 32_767),
    after=st.datetimes(dt.datetime(2026, 1, 1), dt.datetime(2027, 12, 31)),
)
def test_an_interval_is_even_whatever_the_clocks_do(minutes, after):
    after = after.replace(tzinfo=dt.UTC)

    found = next_runs({"interval_minutes": minutes}, after=after)

    steps = {later - earlier for earlier, later in zip([after, *found], found, strict=False)}
    assert steps == {dt.timedelta(minutes=minutes)}


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("0123456789*/,- LRH#?WaMON"), max_size=30))
def test_what_passes_the_check_has_next_runs_and_words(cron):
    try:
        check({"cron": cron})
    except ValidationError:
        return

    after = at(2026, 1, 1)
    found = moments(cron, after, 5)
    assert len(found) == 5
    assert sorted(set(found)) == found
    assert in_words({"cron": cron})


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"cron": "30 2 * * *"}, "At 02:30, every day (UTC)"),
        ({"cron": "0 6 * * MON-FRI"}, "At 06:00, Monday through Friday (UTC)"),
        ({"cron": "0 18 * * *"}, "At 18:00, every day (UTC)"),
        ({"interval_minutes": 15}, "Every 15 minutes"),
        ({"interval_minutes": 1}, "Every minute"),
        ({}, ""),
    ],
)
def test_a_schedule_in_words(config, words):
    assert in_words(config) == words


def test_without_a_schedule_there_are_no_next_runs():
    assert next_runs({}) == []
