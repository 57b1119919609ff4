"""The list of generations, and the page on which one is watched."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import CharField, Q
from django.db.models.functions import Cast
from django.forms import Script
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from content.admin.lists import BoundedList
from content.links import as_id
from content.permissions import can_view_episode
from generation.admin.lists import EpisodeFilter, ProviderFilter, episode_link
from generation.admin.sections import sections_of
from generation.admin.starting import may_generate, start_one_url, start_page
from generation.limits import usd
from generation.models import GenerationJob
from operations.admin import OperationAdmin, Section, WayOn


@admin.register(GenerationJob)
class GenerationAdmin(BoundedList, OperationAdmin):
    """Who may generate has a list: their own."""

    list_display = (
        "id",
        "state",
        "how_far",
        "title",
        "cost_so_far",
        "requested_by",
        "started",
        "lasted",
    )
    list_filter = ("status", ProviderFilter, "created_at", EpisodeFilter)
    list_select_related = ("requested_by", "episode")
    search_fields = ("episode__title",)
    search_help_text = "Words of an episode's title, or the id of a generation or an episode."

    class Media:
        js = [Script("generation/player.js", type="module")]

    # --- the list ----------------------------------------------------------------

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if super().has_view_permission(request, obj):
            return True
        return obj is None and may_generate(request)

    def search_condition(self, text: str) -> Q:
        found = Q(episode__title__icontains=text)
        if (number := as_id(text)) is not None:
            found |= Q(pk=number) | Q(episode=number)
        return found

    @admin.display(description="episode")
    def title(self, generation: GenerationJob) -> str:
        return episode_link(generation.episode)

    @admin.display(description="cost")
    def cost_so_far(self, generation: GenerationJob) -> str:
        return usd(generation.cost)

    def empty_text(self) -> SafeString:
        return format_html(
            "No audio has been generated yet. Choose some episodes in the"
            ' <a href="{}">list of episodes</a> and there the action “Generate audio”.',
            reverse("admin:content_episode_changelist"),
        )

    # --- the page ------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        start = self.admin_site.admin_view(self.start_view)
        return [
            path("start/", start, name=f"{self.url_prefix}_start"),
            path("start/<int:episode>/", start, name=f"{self.url_prefix}_start_one"),
            *super().get_urls(),
        ]

    def start_view(self, request: HttpRequest, episode: int | None = None) -> HttpResponse:
        return start_page(self, request, episode)

    def settled(self) -> Q:
        # Another one of the same episode came after it.
        return ~Q(episode__generation_job_id=Cast("pk", CharField()))

    def summary(self, operation: GenerationJob) -> str:
        return operation.episode.title

    def inputs(self, operation: GenerationJob) -> list[tuple[str, Any]]:
        begins = operation.get_from_stage_display() or "whatever fits the content is used again"
        if operation.base_id:
            begins = f"{begins}, with what generation {operation.base_id} has before it"
        voices = ", ".join(f"{who}: {voice}" for who, voice in operation.voices.items())
        return [
            ("Episode", f"{operation.episode.title} (id {operation.episode_id})"),
            ("Made anew from", begins),
            ("Stops before the audio", "yes" if operation.stop_before_audio else "no"),
            ("Voices", voices),
            ("Speed", f"{operation.speed:g} ×"),
            ("Text by", f"{operation.text_provider} ({operation.text_model})"),
            ("Speech by", f"{operation.speech_provider} ({operation.speech_model})"),
        ]

    def ways_on(self, request: HttpRequest, operation: GenerationJob) -> list[WayOn]:
        ways = []
        episode = operation.episode
        if can_view_episode(request.user, episode):
            url = reverse("admin:content_episode_change", args=[episode.pk])
            ways.append(WayOn("Open the episode", url))
            if not operation.is_active and may_generate(request):
                ways.append(WayOn("Generate again…", start_one_url(episode.pk)))
        return ways

    def sections(self, request: HttpRequest, operation: GenerationJob) -> list[Section]:
        return sections_of(request, operation)
