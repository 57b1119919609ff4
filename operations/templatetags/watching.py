"""The words of `operations.watching` for templates, and the live element itself."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from django import template
from django.utils import timezone

from operations import watching
from operations.models import Operation
from operations.watching import Stage

register = template.Library()
register.filter("label", watching.label)


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


@register.inclusion_tag("operations/progress_feed.html")
def progress_feed(operation: Operation, stages: Sequence[Stage]) -> dict[str, Any]:
    """What `progress-feed.js` upgrades; true as it stands where that doesn't run."""
    return {
        "operation": operation,
        "percent": watching.percent(operation, stages),
        "stage": watching.current_stage(operation, stages),
        "stages": json.dumps([stage._asdict() for stage in stages]),
    }
