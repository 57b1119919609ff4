"""*My duplications*, one of them, and taking its copy away again."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from content.links import as_id
from duplication.models import UNFINISHED, Duplication
from duplication.pages.wording import told
from duplication.removal.asking import keep_page, remove_page, why_not
from duplication.removal.services import may_keep_copy
from duplication.stages import STAGES
from operations import notifications, verbs, watching
from operations.pages import confirmation, is_looked_at, live_refresh, liveness

PER_PAGE = 20
# Nothing can be done to these any more, so they can't be ticked.
OVER = ("completed", "cancelled", "removing", "partly_removed", "removed")


@require_safe
@login_required
def duplication_list(request: HttpRequest) -> HttpResponse:
    """Those that one asked for oneself, the newest first."""
    mine = Duplication.viewable_by(request.user).filter(requested_by=request.user.pk)
    page = Paginator(mine.order_by("-id"), PER_PAGE).get_page(request.GET.get("page"))
    return TemplateResponse(
        request,
        "duplication/duplications.html",
        {
            **live_refresh(request),
            **liveness(*page),
            "title": "My duplications",
            "section": "duplications",
            "rows": [(duplication, told(duplication)) for duplication in page],
            "page": page,
            "stage_definitions": STAGES,
            "verbs": verbs.VERBS.values(),
            "over": OVER,
        },
    )


@require_POST
@login_required
def control_selected(request: HttpRequest) -> HttpResponse:
    """Do one verb to all that are ticked; each that is refused is told."""
    verb = verbs.VERBS.get(request.POST.get("verb", ""))
    ids = [id for text in request.POST.getlist("ids") if (id := as_id(text)) is not None]
    if verb is None or not ids:
        messages.warning(request, "Nothing was done: tick some of them first.")
    elif verb.is_final and "sure" not in request.POST:
        return confirmation(
            request,
            back_url=reverse("my-duplications"),
            title=f"{verb.label} {len(ids)} duplication{'s' if len(ids) > 1 else ''}?",
            text=verb.explanation,
            action=request.path,
            fields=[("verb", verb.name), ("sure", "yes"), *(("ids", str(id)) for id in ids)],
            label=verb.label,
        )
    else:
        _tell(request, verb, verbs.apply_to_many(verb.name, Duplication, ids, by=request.user))
    return HttpResponseRedirect(reverse("my-duplications"))


def _tell(request: HttpRequest, verb: verbs.Verb, outcomes: list[verbs.Outcome]) -> None:
    done = [outcome for outcome in outcomes if not outcome.refusal]
    if done:
        number = f"{len(done)} duplication{'s were' if len(done) > 1 else ' was'}"
        messages.success(request, f"{number} {verb.done}.")
    for outcome in outcomes:
        if outcome.refusal:
            messages.error(request, outcome.refusal)


@require_safe
@login_required
def duplication_page(request: HttpRequest, pk: int) -> HttpResponse:
    duplication = get_object_or_404(Duplication.viewable_by(request.user), pk=pk)
    removal = duplication.removals.filter(UNFINISHED).first()
    if is_looked_at(request):
        for shown in (duplication, *duplication.removals.all(), *duplication.catch_ups.all()):
            notifications.mark_seen(shown, request.user)
    links = duplication.report.get("links", {})
    return TemplateResponse(
        request,
        "duplication/duplication.html",
        {
            **live_refresh(request),
            **liveness(duplication),
            "title": duplication.title,
            "section": "duplications",
            "duplication": duplication,
            "told": told(duplication),
            "removal": removal,
            "may_keep": removal is not None and may_keep_copy(request.user, removal),
            "stage_definitions": STAGES,
            "stages": [
                row for row in watching.stage_rows(duplication, STAGES) if row.name in PLAIN_STAGES
            ],
            "may_remove": not why_not(request.user, duplication),
            "links_to_nothing": links.get("unresolved", 0),
            "links_to_original": links.get("original", 0),
        },
    )


# The others would only make people ask what they are.
PLAIN_STAGES = ("parts", "items", "blocks")


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    duplication = get_object_or_404(Duplication.viewable_by(request.user), pk=pk)
    back_url = duplication.get_absolute_url()
    return remove_page(
        request, duplication, back_url=back_url, removal_url=lambda removal: back_url
    )


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def keep(request: HttpRequest, pk: int) -> HttpResponse:
    """Keep the copy after all, which a removal failed to take away."""
    duplication = get_object_or_404(Duplication.viewable_by(request.user), pk=pk)
    back_url = duplication.get_absolute_url()
    removal = duplication.removals.filter(UNFINISHED).first()
    if removal is None:
        return HttpResponseRedirect(back_url)
    return keep_page(request, removal, back_url=back_url)
