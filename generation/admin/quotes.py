"""What generating the chosen episodes would use, cost and take, for the page that starts them.

Owns what is said of each and of all together, within a bound of time. Starts nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import Count, Q
from django.http import HttpRequest

from content.models import Episode
from generation import limits
from generation.estimate import Estimate, estimate
from generation.exceptions import CannotGenerate, LimitReached
from generation.limits import usd
from generation.models import GenerationJob, StageName
from generation.permissions import missing_permissions
from operations import watching

# The first one is always estimated, however long it takes; others while this isn't over.
ESTIMATE_SECONDS = 2.0


class Quote(NamedTuple):
    """An estimate in words. `chars` are all that is said; `cached_percent` of them are there."""

    tokens: int
    chars: int
    cached_percent: int
    cost: str
    takes: str


class Choice(NamedTuple):
    """One chosen episode. `active`: the generation that is under way. `refusal` says why it
    can't be generated; `is_over_limit`, that it is for its cost. `has`: what earlier generations
    have. `estimate` is None where there was no time for it, or no use."""

    episode: Episode
    active: GenerationJob | None
    refusal: str
    has: tuple[StageName, ...] = ()
    is_over_limit: bool = False
    estimate: Estimate | None = None

    @property
    def is_startable(self) -> bool:
        return not self.refusal and not self.active

    @property
    def quote(self) -> Quote | None:
        return quote([self.estimate]) if self.estimate else None


class Limit(NamedTuple):
    """In words; `left` is empty where a day has no limit."""

    per_generation: str
    per_day: str
    left: str


def choose(request: HttpRequest, ids: Sequence[int]) -> list[Choice]:
    """The chosen episodes that are there and the user's to see, in the order of `ids`, with
    what keeps each from being generated but for its content and its cost."""
    episodes = (
        Episode.objects.viewable_by(request.user)
        .filter(pk__in=ids)
        .select_related("owner")
        .in_bulk()
    )
    active = {
        generation.episode_id: generation
        for generation in GenerationJob.objects.filter(
            episode__in=episodes,
            status__in=[GenerationJob.Status[name] for name in GenerationJob.ACTIVE],
        )
    }
    has = _earlier_results(list(episodes))
    return [
        Choice(
            episode=episode,
            active=active.get(episode.pk),
            refusal=" ".join(missing_permissions(request.user, episode)),
            has=has.get(episode.pk, ()),
        )
        for each in ids
        if (episode := episodes.get(each)) is not None
    ]


def with_estimates(choices: Sequence[Choice], options: dict[str, Any]) -> list[Choice]:
    """Each with its estimate where there is time, and refused where it can't be generated or
    would cost too much: alone, or after those before it. `options`: those of `estimate`."""
    until = time.monotonic() + ESTIMATE_SECONDS
    estimated = 0
    before = Decimal(0)
    found = []
    for choice in choices:
        if choice.is_startable and (not estimated or time.monotonic() < until):
            estimated += 1
            choice = _estimated(choice, options, before)
            if choice.is_startable and choice.estimate:
                before += choice.estimate.cost
        found.append(choice)
    return found


def together(choices: Sequence[Choice]) -> Quote:
    """Of those that would be started, as far as they are estimated."""
    return quote([each.estimate for each in choices if each.is_startable and each.estimate])


def quote(estimates: Sequence[Estimate]) -> Quote:
    chars = sum(each.chars for each in estimates)
    cached = sum(each.cached_chars for each in estimates)
    seconds = [each.seconds for each in estimates]
    known = [each for each in seconds if each is not None]
    return Quote(
        tokens=sum(each.tokens_in + each.tokens_out for each in estimates),
        chars=chars,
        # 100 only where nothing at all is to be made.
        cached_percent=cached * 100 // chars if chars else 0,
        cost=usd(sum((each.cost for each in estimates), Decimal(0))),
        takes=watching.duration(sum(known)) if known and len(known) == len(seconds) else "",
    )


def limit() -> Limit | None:
    """What may be spent, where that is limited."""
    per_generation = settings.GENERATION_MAX_USD_PER_GENERATION
    per_day = settings.GENERATION_MAX_USD_PER_DAY
    if not per_generation and not per_day:
        return None
    left = limits.day_left()
    return Limit(
        per_generation=usd(per_generation) if per_generation else "",
        per_day=usd(per_day) if per_day else "",
        left=usd(max(left, Decimal(0))) if left is not None else "",
    )


def _estimated(choice: Choice, options: dict[str, Any], before: Decimal) -> Choice:
    """`before` is what those that are started with it cost."""
    try:
        found = estimate(choice.episode, **options)
    except CannotGenerate as error:
        return choice._replace(refusal=str(error))
    choice = choice._replace(estimate=found)
    try:
        limits.check(found.cost)
    except LimitReached as error:
        return choice._replace(refusal=str(error), is_over_limit=True)
    left = limits.day_left()
    if found.cost and left is not None and before + found.cost > left:
        refusal = (
            f"It would cost about {usd(found.cost)}, and after those above it "
            f"{usd(left - before)} of today's {usd(settings.GENERATION_MAX_USD_PER_DAY)} "
            "(GENERATION_MAX_USD_PER_DAY) are left. Choose fewer, or start it tomorrow (UTC)."
        )
        return choice._replace(refusal=refusal, is_over_limit=True)
    return choice


def _earlier_results(ids: Sequence[int]) -> dict[int, tuple[StageName, ...]]:
    """By episode: the stages whose results some generation of it has."""
    rows = (
        GenerationJob.objects.filter(episode__in=ids)
        .order_by()
        .values("episode")
        .annotate(
            outlines=Count("pk", filter=Q(outline__isnull=False)),
            scripts=Count("pk", filter=Q(outline__isnull=False, script__isnull=False)),
            audios=Count("pk", filter=Q(status="completed")),
        )
    )
    return {
        row["episode"]: tuple(
            stage
            for stage, count in (
                (StageName.OUTLINE, row["outlines"]),
                (StageName.SCRIPT, row["scripts"]),
                (StageName.AUDIO, row["audios"]),
            )
            if count
        )
        for row in rows
    }
