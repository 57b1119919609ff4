"""What the lists of generations, metrics and kept sounds share."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import Truncator

from content.links import as_id
from content.models import Episode
from generation.providers.registry import SPEECH_PROVIDERS, TEXT_PROVIDERS


class ProviderFilter(admin.SimpleListFilter):
    """Of those that come with Encore, or one of one's own that the address names: a look through
    all rows for the names that occur would take as long as the table is."""

    title = "provider"
    parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        given = self.value()
        names = dict.fromkeys([*TEXT_PROVIDERS, *SPEECH_PROVIDERS, *([given] if given else [])])
        return [(name, name) for name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name = self.value()
        if not name:
            return queryset
        return queryset.filter(Q(text_provider=name) | Q(speech_provider=name))


class EpisodeFilter(admin.SimpleListFilter):
    """Only those of one episode. Shown while it is in effect, to be taken off; it is put on by
    following a link from the episode."""

    title = "episode"
    parameter_name = "episode"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        given = self.value()
        return [(given, f"Episode {given}")] if given else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        given = self.value()
        if given is None:
            return queryset
        return queryset.filter(episode=as_id(given) or 0)


def episode_link(episode: Episode) -> str:
    url = reverse("admin:content_episode_change", args=[episode.pk])
    return format_html('<a href="{}">{}</a>', url, Truncator(episode.title).chars(60))
