"""The verbs of duplication: every way in comes through here."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.conf import settings
from django.db import transaction
from opentelemetry import trace

from content.models import Episode
from duplication.exceptions import CannotStart
from duplication.kind import DUPLICATION
from duplication.models import Duplication
from operations import idempotency, telemetry

MAX_LANES = 8
MAX_TITLE_LENGTH: int = Duplication._meta.get_field("title").max_length or 0
TITLE_SUFFIX = " (copy)"
MEDIA_REQUIRED_NEEDS_COPY = (
    "Files can be required only where they are copied: choose the media strategy copy, or don't "
    "require them."
)


class Started(NamedTuple):
    """`created` is False when an earlier request's duplication is answered instead."""

    duplication: Duplication
    created: bool


def start_duplication(
    *,
    episode_id: int,
    requested_by: Any,
    title: str = "",
    lanes: int | None = None,
    idempotency_key: str | None = None,
    beside_active: bool = False,
    media_strategy: str = Duplication.MediaStrategy.SHARE,
    media_required: bool = False,
) -> Started:
    """Start copying an episode and answer at once; workers do the rest.

    While a duplication of the same episode is active that one is answered, unless
    `beside_active`. What a user's `idempotency_key` was answered with it is answered with
    again, whatever has become of it. Commits the duplication, its first job and (with the
    ORM broker) the job's delivery together. Raises CannotStart and IdempotencyKeyReused;
    permission is the caller's to check.
    """
    lanes = usable_lanes(lanes)
    if media_strategy not in Duplication.MediaStrategy:
        allowed = " or ".join(Duplication.MediaStrategy.values)
        raise CannotStart(f"media_strategy is {media_strategy!r}: use {allowed}.")
    if media_required and media_strategy != Duplication.MediaStrategy.COPY:
        raise CannotStart(MEDIA_REQUIRED_NEEDS_COPY)
    request = idempotency.Request(
        Duplication.kind,
        requested_by,
        idempotency_key or "",
        [episode_id, title, lanes, beside_active, str(media_strategy), media_required],
    )
    with telemetry.span("duplication", episode_id=episode_id), transaction.atomic():
        if idempotency_key and (earlier := idempotency.answered(request)):
            return Started(Duplication.objects.get(pk=earlier), created=False)
        # The lock makes a second click wait here and then find the first one's duplication.
        visible = Episode.objects.visible().select_for_update(no_key=True)
        episode = visible.filter(pk=episode_id).first()
        if episode is None:
            raise CannotStart(f"There is no episode {episode_id} to duplicate.")
        active = episode.duplications.filter(
            status__in=[Duplication.Status[name] for name in Duplication.ACTIVE]
        ).first()
        if active and not beside_active:
            started = Started(active, created=False)
        else:
            duplication = _create(
                episode, requested_by, title, lanes, media_strategy, media_required
            )
            started = Started(duplication, created=True)
        if idempotency_key:
            idempotency.remember(request, started.duplication)
        return started


def usable_lanes(lanes: int | None) -> int:
    """None is the installation's own number. Raises CannotStart for one out of range."""
    lanes = settings.DUPLICATION_LANES if lanes is None else lanes
    if not 1 <= lanes <= MAX_LANES:
        raise CannotStart(f"lanes is {lanes}: use a number from 1 to {MAX_LANES}.")
    return lanes


def _create(
    episode: Episode,
    requested_by: Any,
    title: str,
    lanes: int,
    media_strategy: str,
    media_required: bool,
) -> Duplication:
    duplication = Duplication.objects.create(
        episode=episode,
        org_episode_id=episode.pk,
        title=title or copy_title(episode.title),
        lanes=lanes,
        media_strategy=media_strategy,
        media_required=media_required,
        requested_by=requested_by,
        traceparent=telemetry.current_traceparent(),
    )
    trace.get_current_span().set_attribute("duplication_id", duplication.pk)
    with telemetry.span("dispatch"):
        DUPLICATION.start(duplication)
    return duplication


def copy_title(title: str) -> str:
    return title[: MAX_TITLE_LENGTH - len(TITLE_SUFFIX)] + TITLE_SUFFIX
