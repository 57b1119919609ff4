from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from content.models import Episode
from generation.models import GenerationMetrics
from generation.totals import BY, Total, grand_total, totals
from tests.factories.content import EpisodeFactory

pytestmark = pytest.mark.django_db

ALL = GenerationMetrics.objects.all()
MONDAY = dt.date(2026, 3, 2)


@pytest.fixture
def episode() -> Episode:
    return EpisodeFactory()


def ended(episode: Episode, at: dt.datetime, **fields: Any) -> GenerationMetrics:
    values = {
        "type": "solo",
        "outcome": "completed",
        "text_provider": "offline",
        "speech_provider": "offline",
        **fields,
    }
    return GenerationMetrics.objects.create(episode=episode, created_at=at, **values)


def utc(day: dt.date, hour: int = 12, minute: int = 0) -> dt.datetime:
    return dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=dt.UTC)


def day(number: int) -> dt.date:
    return MONDAY + dt.timedelta(days=number)


def by(what: Any, since: dt.date | None = None, until: dt.date | None = None) -> list[Total]:
    return totals(what, since=since, until=until, metrics=ALL)


def test_totals_by_day_sum_everything_newest_first(episode: Episode) -> None:
    ended(
        episode,
        utc(day(0)),
        tokens_in=100,
        tokens_out=10,
        tts_chars_used=300,
        chars_cached=100,
        estimated_cost=Decimal("0.123456"),
        actual_duration=2.5,
        audio_seconds=60,
    )
    ended(
        episode,
        utc(day(0), hour=23, minute=59),
        tokens_in=1,
        tokens_out=2,
        chars_cached=400,
        estimated_cost=Decimal("0.000001"),
        actual_duration=0.5,
        audio_seconds=30,
    )
    ended(episode, utc(day(1), hour=0))
    later, earlier = by("day")
    assert (later.key, later.generations, later.cost) == ("2026-03-03", 1, Decimal(0))
    assert earlier == Total(
        key="2026-03-02",
        generations=2,
        tokens_in=101,
        tokens_out=12,
        tts_chars_used=300,
        chars_cached=500,
        cost=Decimal("0.123457"),
        seconds=3.0,
        audio_seconds=90.0,
    )
    assert (earlier.tokens, earlier.cached_share) == (113, 0.625)
    assert later.cached_share == 0.0


def test_totals_by_day_are_days_in_utc_whatever_the_time_zone(
    episode: Episode, settings: Any
) -> None:
    settings.TIME_ZONE = "Asia/Tokyo"
    ended(episode, utc(day(0), hour=23))
    assert [each.key for each in by("day")] == ["2026-03-02"]


def test_totals_by_type_have_the_dearest_first(episode: Episode) -> None:
    ended(episode, utc(day(0)), type="solo", estimated_cost=Decimal(1))
    ended(episode, utc(day(1)), type="dialogue", estimated_cost=Decimal(2))
    ended(episode, utc(day(2)), type="solo", estimated_cost=Decimal("1.5"))
    assert [(each.key, each.generations, each.cost) for each in by("type")] == [
        ("solo", 2, Decimal("2.5")),
        ("dialogue", 1, Decimal(2)),
    ]


def test_totals_by_provider_name_who_wrote_and_who_spoke(episode: Episode) -> None:
    ended(episode, utc(day(0)), text_provider="openai", speech_provider="polly")
    for number in range(2):
        ended(episode, utc(day(number)))
    # None cost anything: then the most used comes first.
    assert [(each.key, each.generations) for each in by("provider")] == [
        ("offline + offline", 2),
        ("openai + polly", 1),
    ]


@pytest.mark.parametrize("what", BY)
def test_totals_count_the_first_and_the_last_day_whole(episode: Episode, what: Any) -> None:
    inside = [utc(day(0), hour=0), utc(day(2), hour=23, minute=59) + dt.timedelta(seconds=59.9)]
    outside = [utc(day(-1), hour=23, minute=59), utc(day(3), hour=0)]
    for at in inside + outside:
        ended(episode, at)
    assert sum(each.generations for each in by(what, day(0), day(2))) == 2
    assert sum(each.generations for each in by(what, day(0))) == 3
    assert sum(each.generations for each in by(what, until=day(2))) == 3
    assert by(what, dt.date.min, dt.date.max) == by(what)
    assert by(what, day(10), day(9)) == []


def test_totals_are_of_the_metrics_that_are_given(episode: Episode) -> None:
    ended(episode, utc(day(0)), outcome="failed", estimated_cost=Decimal(3))
    ended(EpisodeFactory(), utc(day(0)), estimated_cost=Decimal(4))
    failed = ALL.filter(outcome="failed")
    [total] = totals("day", since=None, until=None, metrics=failed)
    assert total.cost == Decimal(3)
    assert grand_total(since=None, until=None, metrics=failed).cost == Decimal(3)


def test_grand_total_is_all_together_or_zeros(episode: Episode) -> None:
    nothing = grand_total(since=None, until=None, metrics=ALL)
    assert nothing == Total("", 0, 0, 0, 0, 0, Decimal(0), 0.0, 0.0)
    for number, kind in enumerate(("solo", "dialogue")):
        ended(episode, utc(day(number)), type=kind, tokens_in=5, estimated_cost=Decimal("0.1"))
    total = grand_total(since=None, until=None, metrics=ALL)
    assert (total.generations, total.tokens, total.cost) == (2, 10, Decimal("0.2"))
    assert grand_total(since=day(1), until=day(1), metrics=ALL).generations == 1


@pytest.mark.parametrize("what", BY)
def test_totals_take_one_query_however_many_there_are(episode: Episode, what: Any) -> None:
    for number in range(5):
        ended(episode, utc(day(number)), type="solo" if number % 2 else "dialogue")
    with CaptureQueriesContext(connection) as queries:
        by(what)
    assert len(queries) == 1


@pytest.mark.parametrize("what", BY)
def test_totals_of_some_days_among_many_read_them_through_the_index(
    episode: Episode, what: Any
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO generation_metrics
                (episode_id, type, outcome, text_provider, speech_provider, tokens_in, tokens_out,
                 tts_chars_used, chars_cached, estimated_cost, actual_duration, audio_seconds,
                 stages, created_at)
            SELECT %s, 'solo', 'completed', 'offline', 'offline', 1, 1, 1, 1, 0, 1, 1, '{}',
                   timestamptz '2020-01-01 UTC' + n * interval '3 hours'
            FROM generate_series(1, 20000) n
            """,
            [episode.pk],
        )
        cursor.execute("ANALYZE generation_metrics")
    with CaptureQueriesContext(connection) as queries:
        assert sum(each.generations for each in by(what, MONDAY, day(6))) == 56
    [query] = queries
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + query["sql"])
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "generation_metrics_created" in plan
    assert "Seq Scan" not in plan
