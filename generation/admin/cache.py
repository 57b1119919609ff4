"""The sounds that are kept: how many, how large, how often they saved a call; and what they are.

They are taken away by the clean-up alone, which knows what is still heard.
"""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.files.storage import default_storage
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from content.admin.lists import ReadOnlyAdmin
from generation.models import AudioCache
from operations import watching


@admin.register(AudioCache)
class AudioCacheAdmin(ReadOnlyAdmin):
    change_list_template = "admin/generation/audiocache/change_list.html"
    list_display = (
        "key",
        "state",
        "voice",
        "size",
        "lasts",
        "mime_type",
        "used",
        "last_used",
        "created",
        "listen",
    )
    list_display_links = ("key",)
    list_filter = ("state", "last_used_at", "created_at")
    search_fields = ("cache_key",)
    search_help_text = "The beginning of a key."
    ordering = ("-last_used_at",)
    fields = (
        "cache_key",
        "state",
        "player",
        "voice",
        "what_shapes_it",
        "size",
        "mime_type",
        "lasts",
        "checksum",
        "audio_name",
        "used",
        "last_used_at",
        "created_at",
        "maker",
        "making_until",
    )
    readonly_fields = ("player", "voice", "what_shapes_it", "size", "lasts", "used")

    # --- the list ----------------------------------------------------------------

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        # The index on the key has its beginnings only.
        return queryset.filter(cache_key__startswith=search_term.lower()), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        whole = AudioCache.objects.aggregate(
            sounds=Count("pk", filter=Q(state=AudioCache.State.READY)),
            making=Count("pk", filter=Q(state=AudioCache.State.MAKING)),
            bytes=Coalesce(Sum("audio_bytes"), 0),
            # The first use made it.
            hits=Coalesce(Sum(F("usage_count") - 1, filter=Q(usage_count__gt=1)), 0),
        )
        context = {
            "title": "Kept sounds",
            "whole": whole,
            "limit_bytes": settings.GENERATION_CACHE_MAX_BYTES,
            "clean_up": clean_up(),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    @admin.display(description="key")
    def key(self, sound: AudioCache) -> SafeString:
        return format_html('<code title="{}">{}…</code>', sound.cache_key, sound.cache_key[:12])

    @admin.display(description="voice")
    def voice(self, sound: AudioCache) -> str:
        said = (sound.parameters.get(name) for name in ("provider", "model", "voice"))
        return " · ".join(str(each) for each in said if each) or "–"

    @admin.display(description="size", ordering="audio_bytes")
    def size(self, sound: AudioCache) -> str:
        return filesizeformat(sound.audio_bytes) if sound.audio_name else "–"

    @admin.display(description="duration")
    def lasts(self, sound: AudioCache) -> str:
        return watching.duration(sound.duration_ms / 1000) if sound.audio_name else "–"

    @admin.display(description="used", ordering="usage_count")
    def used(self, sound: AudioCache) -> str:
        return f"{sound.usage_count:,} ×"

    @admin.display(description="last used")
    def last_used(self, sound: AudioCache) -> str:
        return _ago(sound.last_used_at)

    @admin.display(description="made")
    def created(self, sound: AudioCache) -> str:
        return _ago(sound.created_at)

    @admin.display(description="")
    def listen(self, sound: AudioCache) -> SafeString | str:
        if not sound.audio_name:
            return ""
        return format_html(
            '<a href="{}" aria-label="Listen to {}">Listen</a>',
            listen_url(sound),
            sound.cache_key[:12],
        )

    # --- the page ------------------------------------------------------------------

    @admin.display(description="what shapes it")
    def what_shapes_it(self, sound: AudioCache) -> SafeString:
        return format_html(
            "<pre>{}</pre>", json.dumps(sound.parameters, indent=2, ensure_ascii=False)
        )

    @admin.display(description="sound")
    def player(self, sound: AudioCache) -> SafeString | str:
        if not sound.audio_name:
            return "It is being made."
        return format_html('<audio controls preload="none" src="{}"></audio>', listen_url(sound))

    def get_urls(self) -> list[URLPattern]:
        listen = self.admin_site.admin_view(self.listen_view)
        return [
            path("<int:pk>/listen/", listen, name="generation_audiocache_listen"),
            *super().get_urls(),
        ]

    def listen_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The sound itself, which is as long as one call to a provider makes it."""
        if not self.has_view_permission(request):
            raise Http404
        sound = AudioCache.objects.filter(pk=pk).exclude(audio_name="").first()
        if sound is None:
            raise Http404
        try:
            with default_storage.open(sound.audio_name) as file:
                content = file.read()
        except FileNotFoundError:
            messages.error(
                request,
                f"The file {sound.audio_name} is missing in storage. It is made again when a "
                "generation next needs it.",
            )
            return HttpResponseRedirect(reverse("admin:generation_audiocache_changelist"))
        return HttpResponse(content, content_type=sound.mime_type)


def clean_up() -> str:
    """What is taken away each night, as it is set."""
    days, size = settings.GENERATION_CACHE_MAX_DAYS, settings.GENERATION_CACHE_MAX_BYTES
    rules = []
    if days:
        rules.append(f"what nobody used for {days} days")
    if size:
        rules.append(f"beyond {filesizeformat(size)} what was unused the longest")
    if not rules:
        return "Nothing is taken away: neither age nor size is limited."
    return f"The clean-up takes away, each night, {' and '.join(rules)}."


def listen_url(sound: AudioCache) -> str:
    return reverse("admin:generation_audiocache_listen", args=[sound.pk])


def _ago(moment: Any) -> str:
    return render_to_string("operations/ago.html", {"moment": moment, "text": watching.ago(moment)})
