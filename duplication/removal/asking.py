"""Asking before a copy is taken away, and starting it: for the admin and for its owner.

GET shows what would happen, POST starts it. Where somebody's work would go with the copy the
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
from duplication.removal.services import start_removal
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
        return _ask(request, duplication, back_url, _what_happens(duplication))
    is_overruled = "even_if_changed" in request.POST
    try:
        started = start_removal(
            duplication=duplication, requested_by=request.user, even_if_changed=is_overruled
        )
    except CannotRemove as error:
        if error.code in OVERRULED and not is_overruled:
            return _ask(
                request, duplication, back_url, str(error), fields=[("even_if_changed", "yes")]
            )
        messages.error(request, str(error))
        return HttpResponseRedirect(back_url)
    url = removal_url(started.removal)
    told = "Started" if started.created else "It was under way already:"
    messages.success(request, format_html('{} <a href="{}">{}</a>.', told, url, started.removal))
    return HttpResponseRedirect(url)


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
