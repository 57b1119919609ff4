"""The page behind the bell: how what one asked for has ended, and "all read"."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from operations import notifications


@require_safe
@login_required
def notification_list(request: HttpRequest) -> HttpResponse:
    found = notifications.unseen(request.user)
    return TemplateResponse(
        request,
        "operations/notifications.html",
        {
            "title": "Notifications",
            "operations": found[: notifications.MOST],
            "more": len(found) > notifications.MOST,
        },
    )


@require_POST
@login_required
def mark_all_seen(request: HttpRequest) -> HttpResponse:
    notifications.mark_all_seen(request.user)
    return HttpResponseRedirect(reverse("notifications"))
