"""The bell in a page's header."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from operations import notifications

register = template.Library()


@register.inclusion_tag("operations/bell.html", takes_context=True)
def bell(context: Context) -> dict[str, Any]:
    """What `bell.js` upgrades; true as it stands where that doesn't run."""
    user = context["request"].user
    number = notifications.count(user)
    return {
        "user": user,
        "count": min(number, notifications.MOST),
        "more": number > notifications.MOST,
    }
