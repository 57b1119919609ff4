"""The way to the dashboard, for who may see it."""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Context

from operations.admin.dashboard import may_see_dashboard

register = template.Library()


@register.inclusion_tag("admin/operations/link.html", takes_context=True)
def dashboard_link(context: Context) -> dict[str, Any]:
    return {"is_offered": may_see_dashboard(context["request"])}
