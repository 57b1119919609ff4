"""The words of `operations.watching` for templates, and the live element itself."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from django import template
from django.template import Context
from django.urls import reverse
from django.utils import timezone

from operations import verbs, watching
from operations.models import Operation
from operations.stages import Stage, label

register = template.Library()
register.filter("label", label)

# A worker may come to it so much later without anything being wrong. Also in progress-feed.js.
LATE_AFTER = dt.timedelta(seconds=10)


class Button(NamedTuple):
    """`statuses`: the display statuses in which it is shown, for `progress-feed.js`."""

    verb: verbs.Verb
    url: str
    statuses: str
    is_offered: bool


@register.filter
def duration(operation: Operation) -> str:
    """From the start to the end, or so far."""
    if not operation.started_at:
        return ""
    end = operation.ended_at or timezone.now()
    return watching.duration((end - operation.started_at).total_seconds())


@register.inclusion_tag("operations/ago.html")
def ago(moment: dt.datetime) -> dict[str, Any]:
    return {"moment": moment, "text": watching.ago(moment)}


@register.inclusion_tag("operations/looks_again.html")
def looks_again(operation: Operation, who: str = "It") -> dict[str, Any]:
    """When somebody looks again whether it may go on; once that is past, that it is.
    `progress-feed.js` keeps it true. `who`: “It” looks, or “We” look."""
    until = operation.waiting_until
    return {
        "until": until,
        "is_late": until is not None and timezone.now() - until > LATE_AFTER,
        "looks": f"{who} looks" if who == "It" else f"{who} look",
        "was": f"{who} was" if who == "It" else f"{who} were",
    }


@register.inclusion_tag("operations/progress_feed.html", takes_context=True)
def progress_feed(
    context: Context, operation: Operation, stages: Sequence[Stage]
) -> dict[str, Any]:
    """What `progress-feed.js` upgrades; true as it stands where that doesn't run."""
    return {
        "operation": operation,
        "name": _name(context, operation),
        "percent": watching.percent(operation, stages),
        "stage": watching.current_stage(operation, stages),
        "stages": json.dumps([stage._asdict() for stage in stages]),
        "states": json.dumps(operation.state_labels()),
        "final": " ".join(name.lower() for name in operation.final_statuses()),
    }


@register.inclusion_tag("operations/control_buttons.html", takes_context=True)
def control_buttons(context: Context, operation: Operation, next_url: str = "") -> dict[str, Any]:
    """A form per verb that the user could do to it, now or when its state has changed.

    They lead back to `next_url`, by default the page they are on. Nothing for who may only
    look, nor for an operation that is over.
    """
    request = context["request"]
    buttons = []
    if not operation.is_over and operation.may_be_controlled_by(request.user):
        offered = verbs.offered(operation, request.user)
        buttons = [
            Button(
                verb,
                reverse("operation-control", args=[operation.kind, operation.pk, verb.name]),
                " ".join(sorted(verb.statuses)),
                verb in offered,
            )
            for verb in verbs.VERBS.values()
            # Its kind's refusal isn't for the browser to take back.
            if verb in offered or operation.display_status not in verb.statuses
        ]
    return {
        "operation": operation,
        "name": _name(context, operation),
        "buttons": buttons,
        "next_url": next_url or request.get_full_path(),
    }


def _name(context: Context, operation: Operation) -> str:
    """In the operators' words in the admin, elsewhere in those of who asked for it."""
    request = context.get("request")
    is_plain = request is not None and not request.path.startswith(reverse("admin:index"))
    return operation.description if is_plain else str(operation)
