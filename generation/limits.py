"""How much may be spent: for one generation, and for all of a day (UTC)."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from django.conf import settings
from django.db import connection
from django.db.models import Case, F, Q, Sum, When
from django.db.models.functions import Greatest
from django.utils import timezone

from generation.exceptions import LimitReached
from generation.models import GenerationJob

# Any fixed number: who starts generations under a day's limit does it one after the other.
LOCK_SPACE = 0x0E9F


def check(cost: Decimal) -> None:
    """Raises LimitReached where a generation of about this cost (US dollars) isn't allowed."""
    limit: Decimal = settings.GENERATION_MAX_USD_PER_GENERATION
    if limit and cost > limit:
        raise LimitReached(
            f"It would cost about {usd(cost)}, and one generation may cost {usd(limit)} "
            "(GENERATION_MAX_USD_PER_GENERATION). Generate a shorter episode, or have an "
            "operator raise the limit."
        )
    left = day_left()
    if cost and left is not None and cost > left:
        raise LimitReached(
            f"It would cost about {usd(cost)}, and of today's "
            f"{usd(settings.GENERATION_MAX_USD_PER_DAY)} (GENERATION_MAX_USD_PER_DAY) "
            f"{usd(max(left, Decimal(0)))} are left. Start it tomorrow (UTC), or have an operator "
            "raise the limit."
        )


def hold_day() -> None:
    """Keep others from starting until the end of the transaction: of two that see the last
    dollar, one may spend it."""
    if settings.GENERATION_MAX_USD_PER_DAY:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [LOCK_SPACE])


def day_left() -> Decimal | None:
    """What may be spent today yet; None: no limit."""
    limit: Decimal = settings.GENERATION_MAX_USD_PER_DAY
    return limit - spent_today() if limit else None


def spent_today() -> Decimal:
    """What today's generations have cost, and what those that still run are expected to."""
    midnight = timezone.now().astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    active = Q(status__in=[GenerationJob.Status[name] for name in GenerationJob.ACTIVE])
    spent: Decimal | None = GenerationJob.objects.filter(
        active | Q(created_at__gte=midnight)
    ).aggregate(
        spent=Sum(Case(When(active, then=Greatest("estimated_cost", "cost")), default=F("cost")))
    )["spent"]
    return spent or Decimal(0)


def usd(amount: Decimal) -> str:
    """“$1.20”; small amounts with what makes them more than nothing: “$0.0004”."""
    return f"${amount:.2f}" if not amount or amount >= Decimal("0.01") else f"${amount:.4f}"
