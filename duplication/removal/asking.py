"""Asking before a copy is taken away, or kept after all: for the admin and for its owner.

GET shows what would happen, POST does it. Where somebody's work would go with the copy the
reason is shown, and asked once more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html

from duplication.exceptions import CannotRemove
from duplication.models import Duplication, Removal
from duplication.permissions import check_may_remove
from duplication.removal.conditions import is_undo, obstacle
from duplication.removal.services import keep_copy, may_keep_copy, start_removal
from operations.exceptions import OperationError
from operations.pages import confirmation

# Refusals that may be overruled: what somebody did since goes with the copy.
OVERRULED = ("changed_since", "duplicated_since")


def remove_page(
    request: HttpRequest,
    duplication: Duplication,
    *,
    back_url: str,
    removal_url: Callable[[Removal], str],
) -> HttpResponse:
    """`back_url` is the duplication's page in the same frame, `removal_url` where a removal is
    watched there."""
    if refusal := why_not(request.user, duplication):
        messages.error(request, refusal)
        return HttpResponseRedirect(back_url)
    if request.method != "POST":
        if refused := refused_removal(duplication):
            return _ask_again(request, duplication, back_url, refused.error_message)
        return _ask(request, duplication, back_url, _what_happens(duplication))
    is_overruled = "even_if_changed" in request.POST
    try:
        started = start_removal(
            duplication=duplication, requested_by=request.user, even_if_changed=is_overruled
        )
    except CannotRemove as error:
        if error.code in OVERRULED and not is_overruled:
            return _ask_again(request, duplication, back_url, str(error))
        messages.error(request, str(error))
        return HttpResponseRedirect(back_url)
    url = removal_url(started.removal)
    told = "Started" if started.created else "It was under way already:"
    messages.success(request, format_html('{} <a href="{}">{}</a>.', told, url, started.removal))
    return HttpResponseRedirect(url)


def refused_removal(duplication: Duplication) -> Removal | None:
    """The one that was refused on its way for what may be overruled, if nobody has settled it."""
    return duplication.removals.filter(
        status=Removal.Status.FAILED, error_code__in=OVERRULED, even_if_changed=False
    ).first()


def keep_page(request: HttpRequest, removal: Removal, *, back_url: str) -> HttpResponse:
    """`back_url` is where the removal is watched."""
    if request.method != "POST":
        if not may_keep_copy(request.user, removal):
            messages.error(request, f"{removal} is {removal.state_label.lower()}: nothing to keep.")
            return HttpResponseRedirect(back_url)
        return confirmation(
            request,
            back_url=back_url,
            title=f"Keep “{removal.duplication.title}”?",
            text="The copy stays as it is, and nothing more is done. It can be removed later.",
            action=request.path,
            label="Keep the copy",
        )
    try:
        keep_copy(removal=removal, by=request.user)
    except (OperationError, PermissionDenied) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "The copy is kept.")
    return HttpResponseRedirect(back_url)


def _ask_again(
    request: HttpRequest, duplication: Duplication, back_url: str, reason: str
) -> HttpResponse:
    return _ask(request, duplication, back_url, reason, fields=[("even_if_changed", "yes")])


def _ask(
    request: HttpRequest, duplication: Duplication, back_url: str, text: str, *, fields: Any = ()
) -> HttpResponse:
    undo = is_undo(duplication)
    return confirmation(
        request,
        back_url=back_url,
        title=f"{'Undo' if undo else 'Clean up after'} “{duplication.title}”?",
        text=text,
        action=request.path,
        fields=fields,
        label="Remove it even so" if fields else "Remove the copy",
    )


def _what_happens(duplication: Duplication) -> str:
    if is_undo(duplication):
        return (
            f"The copy “{duplication.title}” is hidden at once and then removed with everything "
            "in it. The original isn't touched. If the copy was edited or duplicated since, you "
            "are asked again."
        )
    return "What was made of the copy so far is removed. The original isn't touched."


def why_not(user: Any, duplication: Duplication) -> str:
    """Why `user` can't take the copy away now; empty: they can be asked whether to."""
    try:
        check_may_remove(user, duplication)
    except PermissionDenied as error:
        return str(error)
    found = obstacle(duplication)
    return found.message if found else ""
