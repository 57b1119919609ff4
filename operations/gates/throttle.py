"""After a burst of exceptions, everything of the kind holds still for a moment."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from operations.gates.verdict import Wait
from operations.kinds import Kind
from operations.models import Event

# The events that count as an exception: one for each step that failed.
EXCEPTION_EVENT = "exception"


def exception_throttle(kind: Kind[Any]) -> Wait | None:
    """At most N exceptions per window over all jobs and machines; then wait for the window."""
    limit = settings.OPERATION_THROTTLE_EXCEPTIONS
    window = _window()
    recent = list(
        recent_exceptions(kind).order_by("-created_at").values_list("created_at", flat=True)[:limit]
    )
    if len(recent) < limit:
        return None
    seconds = (recent[-1] + window - timezone.now()).total_seconds()
    return Wait(
        max(seconds, 1.0),
        f"{limit} exceptions within {window.seconds} s: holding still so as not to make it worse.",
    )


def recent_exceptions(kind: Kind[Any]) -> QuerySet[Event]:
    """Those of the kind within the window."""
    return Event.objects.filter(
        name=f"{kind.name}.{EXCEPTION_EVENT}", created_at__gt=Now() - _window()
    )


def _window() -> dt.timedelta:
    return dt.timedelta(seconds=settings.OPERATION_THROTTLE_SECONDS)
