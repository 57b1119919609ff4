"""Totals by day, type and provider as the admin shows them: a table each, beside its chart."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.utils.formats import date_format

from content.models import Episode
from generation.admin.charts import Chart, Value, columns, rows
from generation.limits import usd
from generation.models import GenerationMetrics
from generation.totals import Total, grand_total, totals
from operations import watching


class Days(NamedTuple):
    """Both included, in UTC."""

    since: dt.date
    until: dt.date

    def each(self) -> list[dt.date]:
        return [
            self.since + dt.timedelta(days=number)
            for number in range((self.until - self.since).days + 1)
        ]


class Row(NamedTuple):
    """A total in words."""

    label: str
    generations: int
    tokens: int
    chars_paid: int
    cached_percent: int
    cost: str
    worked: str
    audio: str


class Table(NamedTuple):
    """`chart` draws what is in `rows`: as columns from the first day to the last, or as bars in
    the order of the rows."""

    id: str
    title: str
    column: str
    rows: list[Row]
    chart: Chart
    is_columns: bool


class Measure(NamedTuple):
    """What the charts show: `of` a total, `told` in words."""

    name: str
    of: Callable[[Total], float]
    told: Callable[[Total], str]


COST = Measure("Cost", lambda total: float(total.cost), lambda total: usd(total.cost))
# Where nothing cost anything.
NUMBER = Measure(
    "Generations",
    lambda total: float(total.generations),
    lambda total: f"{total.generations:,}",
)


def summed_up(metrics: QuerySet[GenerationMetrics], days: Days) -> dict[str, Any]:
    """What the template finds, of metrics that are all of these `days`. Four queries."""
    whole = grand_total(since=None, until=None, metrics=metrics)
    if not whole.generations:
        return {"tables": []}
    measure = COST if whole.cost else NUMBER
    by_day, by_type, by_provider = (
        totals(by, since=None, until=None, metrics=metrics) for by in ("day", "type", "provider")
    )
    types = dict(Episode.Type.choices)
    return {
        "whole": _row("All together", whole),
        "measure": measure.name,
        "tables": [
            Table(
                "by-day",
                "By day",
                "Day (UTC)",
                [_row(_day(each.key), each) for each in by_day],
                columns(_values_of_days(by_day, days, measure)),
                is_columns=True,
            ),
            _bars("by-type", "By type", "Type", by_type, measure, types),
            _bars("by-provider", "By provider", "Text + speech", by_provider, measure, {}),
        ],
    }


def _bars(
    id: str,
    title: str,
    column: str,
    found: Sequence[Total],
    measure: Measure,
    labels: dict[str, Any],
) -> Table:
    named = [(str(labels.get(each.key, each.key)), each) for each in found]
    return Table(
        id,
        title,
        column,
        [_row(label, each) for label, each in named],
        rows([Value(label, measure.of(each), measure.told(each)) for label, each in named]),
        is_columns=False,
    )


def _values_of_days(found: Sequence[Total], days: Days, measure: Measure) -> list[Value]:
    """A value for each day, the first day first, also where there was nothing."""
    totals_of = {each.key: each for each in found}
    values = []
    for day in days.each():
        total = totals_of.get(day.isoformat())
        label = _day(day.isoformat())
        values.append(
            Value(label, measure.of(total), measure.told(total))
            if total
            else Value(label, 0.0, "none")
        )
    return values


def _row(label: str, total: Total) -> Row:
    return Row(
        label=label,
        generations=total.generations,
        tokens=total.tokens,
        chars_paid=total.tts_chars_used,
        cached_percent=int(total.cached_share * 100),
        cost=usd(total.cost),
        worked=watching.duration(total.seconds),
        audio=watching.duration(total.audio_seconds) if total.audio_seconds else "–",
    )


def _day(key: str) -> str:
    return date_format(dt.date.fromisoformat(key), "j M Y")
