"""What happened to an operation, for its page: the list of events with its filter, the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.db.models import Q, QuerySet

from operations import watching
from operations.api.pagination import is_number
from operations.models import Event, Operation
from operations.stages import Stage, label
from operations.watching import EventRow

EVENTS_SHOWN = 50
MAX_TEXT = 100


class Choice(NamedTuple):
    """One choice of the filter: the events it `shows`, or all but those it `hides`."""

    name: str
    label: str
    shows: tuple[str, ...] = ()
    hides: tuple[str, ...] = ()

    def condition(self, kind: str) -> Q:
        condition = Q()
        if self.shows:
            condition &= Q(name__in=[f"{kind}.{name}" for name in self.shows])
        if self.hides:
            condition &= ~Q(name__in=[f"{kind}.{name}" for name in self.hides])
        return condition


CHOICES = (
    Choice("", "All but progress", hides=("progress",)),
    Choice("all", "Everything"),
    Choice("trouble", "Trouble", shows=("exception", "failed", "waiting")),
    Choice(
        "people",
        "What people did",
        shows=(
            "run_requested",
            "changed",
            "pause_requested",
            "cancel_requested",
            "resumed",
            "retried",
        ),
    ),
)


class EventList(NamedTuple):
    """A page of events, newest first. `is_newest`: what happens next belongs on top of it.
    `older` is the query of the page after it, if there is one."""

    rows: list[EventRow]
    choice: Choice
    choices: tuple[Choice, ...]
    text: str
    is_newest: bool
    older: str
    limit: int
    sequence: int


class Deed(NamedTuple):
    """Who did what, when."""

    created_at: Any
    who: str
    what: str


def event_list(
    operation: Operation, stages: Sequence[Stage], wanted: Mapping[str, str]
) -> EventList:
    """The events up to the sequence of `operation` as it was read. `wanted`: `events` (a
    choice's name), `text` and `before` (a sequence), from a query; nonsense is ignored."""
    choice = next((each for each in CHOICES if each.name == wanted.get("events")), CHOICES[0])
    text = wanted.get("text", "").strip()[:MAX_TEXT]
    before = wanted.get("before", "")
    events = _events(operation).filter(choice.condition(operation.kind))
    if text:
        events = events.filter(_says(text, stages))
    if is_number(before):
        events = events.filter(sequence__lt=int(before))
    page = list(events.order_by("-sequence")[: EVENTS_SHOWN + 1])
    shown, is_more = page[:EVENTS_SHOWN], len(page) > EVENTS_SHOWN
    query = {"events": choice.name, "text": text, "before": shown[-1].sequence} if is_more else {}
    return EventList(
        rows=watching.event_rows(shown, stages),
        choice=choice,
        choices=CHOICES,
        text=text,
        is_newest=not is_number(before),
        older=urlencode({name: value for name, value in query.items() if value}),
        limit=EVENTS_SHOWN,
        sequence=operation.event_sequence,
    )


def audit(operation: Operation) -> list[Deed]:
    """What people did to it, oldest first, beginning with asking for it."""
    deeds = _events(operation).filter(payload__has_key="by").order_by("sequence")[:EVENTS_SHOWN]
    started = Deed(operation.created_at, _who(operation.requested_by), "Asked for it")
    return [
        started,
        *(
            Deed(
                event.created_at,
                event.payload["by"] or _who(None),
                _deed(event),
            )
            for event in deeds
        ),
    ]


def _deed(event: Event) -> str:
    what, message = label(watching.short_name(event)), event.payload.get("message")
    return f"{what}: {message}" if message else what


def _who(user: Any) -> str:
    return user.get_username() if user else "somebody at the terminal, or who is gone"


def _events(operation: Operation) -> QuerySet[Event]:
    return Event.objects.filter(
        kind=operation.kind,
        operation_id=str(operation.pk),
        sequence__lte=operation.event_sequence,
    )


def _says(text: str, stages: Sequence[Stage]) -> Q:
    """The words of the list's rows, where they lie in the table."""
    labelled = [stage.name for stage in stages if text.lower() in stage.label.lower()]
    return (
        Q(name__icontains=text.replace(" ", "_"))
        | Q(stage__in=labelled)
        | Q(payload__message__icontains=text)
        | Q(payload__by__icontains=text)
    )
