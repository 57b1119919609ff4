"""What generations used and cost together: by day, by type, by provider, and in all.

Owns the sums over `GenerationMetrics`, which stay when generations go. Whose metrics are
summed is the caller's to say.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, Literal, NamedTuple, get_args

from django.db.models import Count, F, QuerySet, Sum, Value
from django.db.models.functions import Coalesce, Concat, TruncDate

from generation.models import GenerationMetrics

By = Literal["day", "type", "provider"]
BY: tuple[str, ...] = get_args(By)

_KEYS: dict[str, Any] = {
    "day": TruncDate("created_at", tzinfo=dt.UTC),
    "type": F("type"),
    "provider": Concat("text_provider", Value(" + "), "speech_provider"),
}
_ORDER = {
    "day": ("-key",),
    "type": ("-cost", "-generations", "key"),
    "provider": ("-cost", "-generations", "key"),
}


class Total(NamedTuple):
    """`key`: a day (`2026-03-01`), a type (`solo`), or who wrote and who spoke
    (`openai + polly`); empty for all together. `cost` is in US dollars; `seconds` is how long
    the generations worked, `audio_seconds` how long what they made plays."""

    key: str
    generations: int
    tokens_in: int
    tokens_out: int
    tts_chars_used: int
    chars_cached: int
    cost: Decimal
    seconds: float
    audio_seconds: float

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    @property
    def cached_share(self) -> float:
        """How much of what was said came from the cache, 0 to 1."""
        said = self.tts_chars_used + self.chars_cached
        return self.chars_cached / said if said else 0.0


def totals(
    by: By,
    *,
    since: dt.date | None,
    until: dt.date | None,
    metrics: QuerySet[GenerationMetrics],
) -> list[Total]:
    """Those of `metrics` from `since` to `until`, both days included, in UTC; None: no bound.

    One query. Days come newest first, and only those on which something ended; types and
    providers come with the dearest first.
    """
    rows: Any = (
        between(metrics, since, until)
        .annotate(key=_KEYS[by])
        .order_by()
        .values("key")
        .annotate(**_sums())
        .order_by(*_ORDER[by])
    )
    return [Total(**{**row, "key": str(row["key"])}) for row in rows]


def grand_total(
    *, since: dt.date | None, until: dt.date | None, metrics: QuerySet[GenerationMetrics]
) -> Total:
    """All of them together; zeros where there is none. One query."""
    return Total(key="", **between(metrics, since, until).aggregate(**_sums()))


def between(
    metrics: QuerySet[GenerationMetrics], since: dt.date | None, until: dt.date | None
) -> QuerySet[GenerationMetrics]:
    """Those from `since` to `until`, both days included, in UTC; None: no bound."""
    # Moments, not days: the index has those.
    if since:
        metrics = metrics.filter(created_at__gte=dt.datetime.combine(since, dt.time.min, dt.UTC))
    if until:
        metrics = metrics.filter(created_at__lte=dt.datetime.combine(until, dt.time.max, dt.UTC))
    return metrics


def _sums() -> dict[str, Any]:
    return {
        "generations": Count("pk"),
        "tokens_in": _sum("tokens_in", 0),
        "tokens_out": _sum("tokens_out", 0),
        "tts_chars_used": _sum("tts_chars_used", 0),
        "chars_cached": _sum("chars_cached", 0),
        "cost": _sum("estimated_cost", Decimal(0)),
        "seconds": _sum("actual_duration", 0.0),
        "audio_seconds": _sum("audio_seconds", 0.0),
    }


def _sum(field: str, nothing: int | float | Decimal) -> Coalesce:
    return Coalesce(Sum(field), nothing)
