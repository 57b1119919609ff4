"""*My audio*: what one asked for, and one of them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from generation.models import GenerationJob
from generation.pages import presenting
from generation.pages.editing import why_not
from generation.pages.presenting.hearing import clock, has_audio
from generation.pages.presenting.paging import Pages
from generation.pages.wording import told
from generation.permissions import missing_permissions
from generation.stages import STAGES
from operations import notifications
from operations.pages import is_looked_at, live_refresh, liveness

PER_PAGE = 20
# What comes of it shows nowhere else: outline, script and the pieces of the sound.
REFRESH_SECONDS = 2


@require_safe
@login_required
def generation_list(request: HttpRequest) -> HttpResponse:
    """Those that one asked for oneself, the newest first."""
    mine = GenerationJob.viewable_by(request.user).filter(requested_by=request.user.pk)
    page = Paginator(mine.order_by("-id"), PER_PAGE).get_page(request.GET.get("page"))
    return TemplateResponse(
        request,
        "generation/generations.html",
        {
            **live_refresh(request),
            **liveness(*page),
            "title": "My audio",
            "section": "audio",
            "rows": [
                (
                    generation,
                    told(generation, is_heard=has_audio(generation)),
                    clock(generation.audio_duration_ms) if generation.audio_duration_ms else "",
                )
                for generation in page
            ],
            "pages": Pages(page.number, page.paginator.num_pages, "page"),
            "stage_definitions": STAGES,
        },
    )


@require_safe
@login_required
def generation_page(request: HttpRequest, pk: int) -> HttpResponse:
    generation = get_object_or_404(GenerationJob.viewable_by(request.user), pk=pk)
    if is_looked_at(request):
        notifications.mark_seen(generation, request.user)
    return TemplateResponse(
        request,
        "generation/generation.html",
        {
            **live_refresh(request),
            **liveness(generation),
            "title": generation.episode.title,
            "section": "audio",
            "operation": generation,
            "told": told(generation, is_heard=has_audio(generation)),
            "stage_definitions": STAGES,
            "refresh_seconds": REFRESH_SECONDS if generation.is_runnable else None,
            **_parts(request, generation),
        },
    )


def _parts(request: HttpRequest, generation: GenerationJob) -> dict[str, Any]:
    """What the shared templates draw, each by its name."""
    may_generate = not any(missing_permissions(request.user, generation.episode))
    start_url = reverse("my-episode-generate", args=[generation.episode_id])
    edit_url = reverse("my-generation-script", args=[generation.pk])
    if why_not(request.user, generation):
        edit_url = ""
    return {
        "stepper": presenting.stepper(generation),
        "audio": presenting.audio(generation, request.GET),
        "segments": presenting.segments(generation),
        "costs": presenting.costs(generation),
        "outline": presenting.outline(generation),
        "script": presenting.script(generation, request.GET, edit_url=edit_url),
        "again": presenting.again(generation, start_url=start_url) if may_generate else None,
    }
