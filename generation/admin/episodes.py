"""On an episode's own page: its audio, and the way to its generations."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from content.models import Episode
from generation.models import GenerationJob


def show_on_episodes() -> None:
    """Put it on the page of episodes, whose app doesn't know this one."""
    episodes: Any = admin.site.get_model_admin(Episode)
    fields = list(episodes.fields)
    fields.insert(fields.index("audio_url"), audio)
    episodes.fields = fields
    episodes.readonly_fields = [*episodes.readonly_fields, audio]


@admin.display(description="audio")
def audio(episode: Episode) -> SafeString | str:
    if episode.pk is None:
        return "-"
    generations = GenerationJob.objects.filter(episode=episode.pk).order_by("-pk")
    return render_to_string(
        "admin/generation/generationjob/on_episode.html",
        {
            "episode": episode,
            "newest": generations.only("status", "requested", "waiting_reason").first(),
            "list_url": reverse("admin:generation_generationjob_changelist"),
        },
    )
