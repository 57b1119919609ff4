"""What a duplication would be, before it is started: how much, how long, and what is in its way.

Reads only, and for no longer than DUPLICATION_PREVIEW_SECONDS, whatever the tree's size:
what could not be counted in that time is "at least" what was. Doesn't start anything
(`duplication.services`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.conf import settings

from content.models import Episode
from duplication.kind import DUPLICATION
from duplication.models import Duplication
from duplication.permissions import missing_permissions
from duplication.preview.counting import Clock, count_levels
from duplication.preview.found import Active, Brief, Preview, Waiting
from duplication.preview.links import find_links
from duplication.preview.media import find_media
from duplication.preview.rates import Expected, PastCopy, estimate, past_copies
from duplication.preview.resets import resets
from duplication.services import usable_lanes
from duplication.stages import MEDIA
from operations import gates
from operations.gates.concurrency import no_place_free

# Of the time that is left each time: rows say most, and they are what the estimate needs.
ROWS_SHARE = 0.5
MEDIA_SHARE = 0.6


def preview(
    episode: Episode,
    user: Any,
    *,
    media_strategy: str = Duplication.MediaStrategy.SHARE,
    lanes: int | None = None,
) -> Preview:
    """Of an episode that `user` may see; None is the command line, which may do everything.

    Raises CannotStart for a number of lanes out of range.
    """
    clock = Clock(settings.DUPLICATION_PREVIEW_SECONDS)
    lanes = usable_lanes(lanes)
    missing = () if user is None else tuple(missing_permissions(user, episode))
    active = _active(episode, user)
    brief = _brief(episode, clock)
    return Preview(
        levels=brief.levels,
        media=brief.media,
        links=brief.links,
        expected=_expected(brief, media_strategy, past_copies(media_strategy), lanes),
        episode=episode.pk,
        media_strategy=media_strategy,
        lanes=lanes,
        resets=resets(owner="nobody" if user is None else "you"),
        missing_permissions=missing,
        active=active,
        waiting=waiting_now(),
    )


def preview_briefly(episodes: Iterable[Episode]) -> dict[int, Brief]:
    """Of several, with the time of one: by id, without those that the time didn't reach."""
    clock = Clock(settings.DUPLICATION_PREVIEW_SECONDS)
    chosen = list(episodes)
    briefs = {}
    for number, episode in enumerate(chosen):
        part = clock.part(1 / (len(chosen) - number))
        brief = _brief(episode, part)
        if brief.was_reached:
            briefs[episode.pk] = brief
    return briefs


def expected_times(found: Sequence[Brief]) -> list[dict[str, Expected]]:
    """Of each, by media strategy, for who has yet to choose one."""
    past = {strategy: past_copies(strategy) for strategy in Duplication.MediaStrategy.values}
    lanes = usable_lanes(None)
    return [
        {name: _expected(brief, name, copies, lanes) for name, copies in past.items()}
        for brief in found
    ]


def waiting_now() -> Waiting | None:
    """What a duplication that is started now would wait for."""
    wait = no_place_free(DUPLICATION) or gates.first_wait_of_kind(DUPLICATION)
    return Waiting(wait.reason, round(wait.seconds, 1)) if wait else None


def _brief(episode: Episode, clock: Clock) -> Brief:
    levels = count_levels(episode, clock.part(ROWS_SHARE))
    media = find_media(episode, clock.part(MEDIA_SHARE))
    return Brief(levels, media, find_links(episode, clock))


def _expected(found: Brief, media_strategy: str, past: list[PastCopy], lanes: int) -> Expected:
    counts = {level.stage: level.rows for level in found.levels}
    if media_strategy == Duplication.MediaStrategy.COPY:
        counts[MEDIA] = found.media.files
    exact = all(count.exact for count in counts.values())
    amounts = {stage: count.number for stage, count in counts.items()}
    return estimate(past, amounts, exact=exact, lanes=lanes)


def _active(episode: Episode, user: Any) -> Active | None:
    active = Duplication.objects.filter(
        org_episode_id=episode.pk,
        status__in=[Duplication.Status[name] for name in Duplication.ACTIVE],
    ).first()
    if active is None:
        return None
    seen = user is None or Duplication.viewable_by(user).filter(pk=active.pk).exists()
    return Active(active.pk if seen else None)


__all__ = ["Brief", "Preview", "expected_times", "preview", "preview_briefly", "waiting_now"]
