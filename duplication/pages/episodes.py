"""*My episodes*, and duplicating one of them."""

from __future__ import annotations

import uuid

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from content import additions
from content.models import Episode
from duplication.exceptions import CannotStart
from duplication.models import Duplication
from duplication.permissions import ADD, check_may_duplicate
from duplication.preview import expected_times, preview, wording
from duplication.services import MAX_TITLE_LENGTH, copy_title, start_duplication
from duplication.stages import STAGES
from operations.exceptions import IdempotencyKeyReused

PER_PAGE = 25


class StartForm(forms.Form):
    """The key makes a second click, or a reloaded page, answer the same copy."""

    key = forms.UUIDField(widget=forms.HiddenInput)
    title = forms.CharField(label="Title of the copy", max_length=MAX_TITLE_LENGTH, strip=True)
    media_strategy = forms.ChoiceField(
        label="Sound, pictures and other files",
        choices=[
            (Duplication.MediaStrategy.SHARE.value, "Use the same files as the original"),
            (Duplication.MediaStrategy.COPY.value, "Give the copy files of its own"),
        ],
        initial=Duplication.MediaStrategy.SHARE.value,
        widget=forms.RadioSelect,
    )


@require_safe
@login_required
def episode_list(request: HttpRequest) -> HttpResponse:
    """One's own episodes, the newest first, with the copy that is being made of each, and what
    other apps show of them."""
    words = request.GET.get("q", "").strip()
    mine = Episode.objects.visible().filter(owner=request.user.pk)
    found = mine.filter(title__icontains=words) if words else mine
    page = Paginator(found.order_by("-id"), PER_PAGE).get_page(request.GET.get("page"))
    active = Duplication.viewable_by(request.user).filter(
        org_episode_id__in=[episode.pk for episode in page],
        status__in=[Duplication.Status[name] for name in Duplication.ACTIVE],
    )
    by_episode = {duplication.org_episode_id: duplication for duplication in active}
    added = additions.shown_with(list(page), request.user)
    return TemplateResponse(
        request,
        "duplication/episodes.html",
        {
            "title": "My episodes",
            "section": "episodes",
            "rows": [(episode, by_episode.get(episode.pk), added[episode.pk]) for episode in page],
            "page": page,
            "words": words,
            "may_duplicate": request.user.has_perm(ADD),
            "stage_definitions": STAGES,
        },
    )


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def start(request: HttpRequest, pk: int) -> HttpResponse:
    """GET shows what would be copied and starts nothing; POST starts it."""
    episode = get_object_or_404(Episode.objects.viewable_by(request.user), pk=pk)
    try:
        check_may_duplicate(request.user, episode)
    except PermissionDenied as denied:
        messages.error(request, str(denied))
        return HttpResponseRedirect(reverse("my-episodes"))
    if request.method == "POST":
        form = StartForm(request.POST)
        if form.is_valid() and (started := _start(request, episode, form)):
            return HttpResponseRedirect(started.get_absolute_url())
    else:
        form = StartForm(initial={"key": uuid.uuid4(), "title": copy_title(episode.title)})
    return TemplateResponse(
        request,
        "duplication/start.html",
        {
            "title": f"Duplicate “{episode.title}”",
            "section": "episodes",
            "episode": episode,
            "form": form,
            "preview": (found := preview(episode, request.user)),
            "preview_media": wording.media(found.media),
            "preview_links": wording.links(found.links),
            "preview_times": wording.times(found, *expected_times([found])),
        },
    )


def _start(request: HttpRequest, episode: Episode, form: StartForm) -> Duplication | None:
    wanted = form.cleaned_data
    try:
        duplication, created = start_duplication(
            episode_id=episode.pk,
            requested_by=request.user,
            title=wanted["title"],
            media_strategy=wanted["media_strategy"],
            idempotency_key=f"page:{wanted['key']}:{episode.pk}",
        )
    except IdempotencyKeyReused:
        form.add_error(None, "This page was sent before, with another title. Open it once more.")
        return None
    except CannotStart as error:
        form.add_error(None, str(error))
        return None
    if not created and not Duplication.viewable_by(request.user).filter(pk=duplication.pk).exists():
        form.add_error(None, "A copy of this episode is being made for somebody else just now.")
        return None
    return duplication
