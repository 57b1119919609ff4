"""The verbs of duplication: every way in comes through here."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction

from content.models import Episode
from duplication.exceptions import CannotStart, IdempotencyKeyReused
from duplication.kind import DUPLICATION
from duplication.models import Duplication
from operations import telemetry

MAX_LANES = 8
TITLE_SUFFIX = " (copy)"


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
) -> Started:
    """Start copying an episode and answer at once; workers do the rest.

    While a duplication of the same episode is active that one is answered, unless
    `beside_active`. The same `idempotency_key` of the same user answers the first
    request's duplication, whatever has become of it. Commits the duplication, its first
    job and (with the ORM broker) the job's delivery together. Raises CannotStart;
    permission is the caller's to check.
    """
    lanes = settings.DUPLICATION_LANES if lanes is None else lanes
    if not 1 <= lanes <= MAX_LANES:
        raise CannotStart(f"lanes is {lanes}: use a number from 1 to {MAX_LANES}.")
    fingerprint = _fingerprint(episode_id, title, lanes, beside_active)
    with telemetry.span("duplication", episode_id=episode_id) as root, transaction.atomic():
        if idempotency_key and (earlier := _earlier(requested_by, idempotency_key, fingerprint)):
            return Started(earlier, created=False)
        # The lock makes a second click wait here and then find the first one's duplication.
        episode = (
            Episode.objects.visible().select_for_update(no_key=True).filter(pk=episode_id).first()
        )
        if episode is None:
            raise CannotStart(f"There is no episode {episode_id} to duplicate.")
        active = episode.duplications.filter(
            status__in=[Duplication.Status[name] for name in Duplication.ACTIVE]
        ).first()
        if active and not beside_active:
            return Started(active, created=False)
        duplication = Duplication.objects.create(
            episode=episode,
            org_episode_id=episode.pk,
            title=title or copy_title(episode.title),
            lanes=lanes,
            requested_by=requested_by,
            idempotency_key=idempotency_key or None,
            request_fingerprint=fingerprint,
            traceparent=telemetry.current_traceparent(),
        )
        root.set_attribute("duplication_id", duplication.pk)
        with telemetry.span("dispatch"):
            DUPLICATION.start(duplication)
    return Started(duplication, created=True)


def _earlier(requested_by: Any, key: str, fingerprint: str) -> Duplication | None:
    """What this user's key has started. Two requests with one key wait for each other."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"duplication:{requested_by.pk if requested_by else 0}:{key}"],
        )
    earlier = Duplication.objects.filter(requested_by=requested_by, idempotency_key=key).first()
    if earlier and earlier.request_fingerprint != fingerprint:
        raise IdempotencyKeyReused(
            f"Idempotency-Key {key!r} was used for another request (duplication {earlier.pk}): "
            "send a new key with a new request."
        )
    return earlier


def _fingerprint(*request: Any) -> str:
    return hashlib.sha256(json.dumps(request).encode()).hexdigest()


def copy_title(title: str) -> str:
    room = Duplication._meta.get_field("title").max_length or 0
    return title[: room - len(TITLE_SUFFIX)] + TITLE_SUFFIX
