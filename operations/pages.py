"""Steering an operation from a page, whatever page: one view that does a verb and goes back.

Owns the round trip (confirmation, message, redirect), not what a verb does or who may:
that is `operations.verbs`. Works without JavaScript.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from operations import kinds, verbs
from operations.exceptions import OperationError, UnknownKind
from operations.following import BEAT_AGE_SECONDS
from operations.keys import key_of
from operations.models import Operation
from operations.queue.heartbeat import is_queue_alive

# A page that shows what goes on without an event, and one that would not hear of a worker's end.
UNSETTLED_SECONDS = 2
RUNNABLE_SECONDS = 10


@login_required
def control(request: HttpRequest, kind: str, id: str, verb: str) -> HttpResponse:
    """POST does `verb` and goes to `next`, with a message of how it went. GET asks once more
    before a final one. What the user may not see is answered like what doesn't exist."""
    if verb not in verbs.VERBS:
        raise Http404
    operation = _find(request, kind, id)
    if request.method == "POST":
        is_done = _do(request, operation, verb)
        wanted = next_url(request)
        # A refusal is told on top of the page: then not to the place in it.
        return HttpResponseRedirect(wanted if is_done else wanted.partition("#")[0])
    if request.method in ("GET", "HEAD") and verbs.VERBS[verb].is_final:
        return _ask(request, operation, verbs.VERBS[verb])
    return HttpResponseNotAllowed(["POST"])


def next_url(request: HttpRequest) -> str:
    """Where the request wants to go on: its `next` if that is a page of ours, or the start."""
    wanted = request.POST.get("next") or request.GET.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if is_ours else reverse("home")


def live_refresh(request: HttpRequest) -> dict[str, Any]:
    """To put into the context of a page that `live-page.js` draws anew: messages wait for
    the page that somebody has asked for, and don't vanish into another tab's refresh."""
    return {"messages": ()} if "X-Live-Refresh" in request.headers else {}


def liveness(*operations: Operation) -> dict[str, Any]:
    """To put into the context of a page of theirs: whether they stand still because no worker
    runs, and how often the page is to be drawn anew for what no event tells, like that."""
    is_runnable = any(operation.is_runnable for operation in operations)
    seconds = RUNNABLE_SECONDS if is_runnable else None
    if any(operation.is_unsettled for operation in operations):
        seconds = UNSETTLED_SECONDS
    return {
        "refresh_seconds": seconds,
        "lacks_worker": is_runnable and not is_queue_alive(BEAT_AGE_SECONDS),
    }


def is_looked_at(request: HttpRequest) -> bool:
    """Whether somebody sees the answer: a page that `live-page.js` draws anew says whether it is
    visible."""
    return request.headers.get("X-Live-Refresh", "visible") == "visible"


def confirmation(request: HttpRequest, *, back_url: str, **context: Any) -> TemplateResponse:
    """A page that asks before something final, in the frame of the page it came from.

    Its template takes `title`, `text`, `items` (lines, each a text), `action` (where to
    POST), `fields` (pairs of name and value to send along), `label` (of the button).
    """
    is_admin = request.user.is_staff and back_url.startswith(reverse("admin:index"))
    frame = admin.site.each_context(request) if is_admin else {}
    return TemplateResponse(
        request,
        "operations/confirm.html",
        {
            **frame,
            "base": "admin/base_site.html" if is_admin else "base.html",
            "back_url": back_url,
            **context,
        },
    )


def _find(request: HttpRequest, kind: str, operation_id: str) -> Operation:
    try:
        model = kinds.get(kind).operation
    except UnknownKind as error:
        raise Http404 from error
    operation: Operation | None = (
        model.viewable_by(request.user).filter(pk=key_of(model, operation_id)).first()
    )
    if operation is None:
        raise Http404
    return operation


def _do(request: HttpRequest, operation: Operation, verb: str) -> bool:
    try:
        verbs.apply(verb, operation, by=request.user)
    except (OperationError, PermissionDenied) as error:
        messages.error(request, str(error))
        return False
    messages.success(request, f"{operation} was {verbs.VERBS[verb].done}.")
    return True


def _ask(request: HttpRequest, operation: Operation, verb: verbs.Verb) -> HttpResponse:
    if verb not in verbs.offered(operation, request.user):
        # Nothing to confirm: say why, as doing it would.
        messages.error(
            request,
            f"{operation} is {operation.state_label.lower()}: you can't {verb.name} it now.",
        )
        return HttpResponseRedirect(next_url(request))
    back_url = next_url(request)
    consequence = kinds.get(operation.kind).consequence(operation, verb.name)
    return confirmation(
        request,
        back_url=back_url,
        title=f"{verb.label} {operation}?",
        text=f"{verb.explanation} {consequence}".rstrip(),
        action=request.path,
        fields=[("next", back_url)],
        label=f"{verb.label} it",
    )
