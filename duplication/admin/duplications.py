"""The list of duplications, and the page on which one is watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.views.decorators.http import require_POST

from content.links import as_id
from content.permissions import can_view_episode
from duplication.admin.copies import CopyOperationAdmin, duplication_url, episode_url
from duplication.admin.findings import catch_up, mend
from duplication.admin.removals import removal_url, way_to_removal
from duplication.admin.sections import sections_of
from duplication.admin.starting import may_duplicate, start_page, start_url
from duplication.models import Duplication
from duplication.removal.asking import remove_page
from operations.admin import Section, WayOn


@admin.register(Duplication)
class DuplicationAdmin(CopyOperationAdmin):
    list_display = (
        "id",
        "state",
        "how_far",
        "original",
        "copy",
        "requested_by",
        "started",
        "lasted",
    )
    list_select_related = ("requested_by", "episode", "new_episode")
    search_fields = ("title",)
    search_help_text = "Words of a title, or the id of a duplication or an episode."
    page_template = "admin/duplication/duplication/change_form.html"

    # --- the list ----------------------------------------------------------------

    def search_condition(self, text: str) -> Q:
        found = Q(title__icontains=text) | Q(episode__title__icontains=text)
        if (number := as_id(text)) is not None:
            found |= Q(pk=number) | Q(org_episode_id=number) | Q(new_episode=number)
        return found

    @admin.display(description="episode")
    def original(self, duplication: Duplication) -> str:
        if duplication.episode is None:
            return f"Episode {duplication.org_episode_id} (deleted)"
        return format_html(
            '<a href="{}">{}</a>',
            episode_url(duplication.episode.pk),
            Truncator(duplication.episode.title).chars(60),
        )

    @admin.display(description="copy")
    def copy(self, duplication: Duplication) -> str:
        return render_to_string(
            "admin/duplication/duplication/cells/copy.html",
            {"operation": duplication, "copy_url": copy_url(duplication)},
        )

    def empty_text(self) -> SafeString:
        return format_html(
            "No episode has been duplicated yet. Choose some in the"
            ' <a href="{}">list of episodes</a> and there the action'
            " “Duplicate selected episodes”.",
            reverse("admin:content_episode_changelist"),
        )

    # --- the page ------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        pages: list[tuple[str, str, Callable[..., HttpResponse]]] = [
            ("start/", "start", self.start_view),
            ("<int:pk>/remove/", "remove", self.remove),
            ("<int:pk>/catch-up/", "catch_up", require_POST(self.catch_up)),
            ("<int:pk>/links/<int:link>/mend/", "mend", require_POST(self.mend)),
        ]
        return [
            *(
                path(route, self.admin_site.admin_view(view), name=f"{self.url_prefix}_{name}")
                for route, name, view in pages
            ),
            *super().get_urls(),
        ]

    def start_view(self, request: HttpRequest) -> HttpResponse:
        return start_page(self, request)

    def remove(self, request: HttpRequest, pk: int) -> HttpResponse:
        duplication = self.find(request, str(pk))
        if duplication is None:
            return HttpResponseRedirect(self.list_url())
        return remove_page(
            request,
            duplication,
            back_url=duplication_url(duplication.pk),
            removal_url=removal_url,
        )

    def catch_up(self, request: HttpRequest, pk: int) -> HttpResponse:
        duplication = self.find(request, str(pk))
        if duplication is None:
            return HttpResponseRedirect(self.list_url())
        return catch_up(request, duplication)

    def mend(self, request: HttpRequest, pk: int, link: int) -> HttpResponse:
        duplication = self.find(request, str(pk))
        if duplication is None:
            return HttpResponseRedirect(self.list_url())
        return mend(request, duplication, link)

    def settled(self) -> Q:
        # What was made of it is being taken away, or is away.
        return Q(deletion_began_at__isnull=False) | Q(removed_at__isnull=False)

    def summary(self, operation: Duplication) -> str:
        return operation.title

    def inputs(self, operation: Duplication) -> list[tuple[str, Any]]:
        original = operation.episode.title if operation.episode else "deleted"
        return [
            ("Episode", f"{original} (id {operation.org_episode_id})"),
            ("Title of the copy", operation.title),
            ("Lanes", f"{operation.lanes} side by side at most"),
            ("Media", operation.get_media_strategy_display()),
            (
                "A file that is missing",
                "fails the copy" if operation.media_required else "is reported",
            ),
        ]

    def ways_on(self, request: HttpRequest, operation: Duplication) -> list[WayOn]:
        ways = []
        if operation.has_status("COMPLETED") and operation.new_episode_id:
            ways.append(WayOn("Open the copy", episode_url(operation.new_episode_id), True))
        original = operation.episode
        if original is not None and can_view_episode(request.user, original):
            ways.append(WayOn("Open the original", episode_url(original.pk)))
            if not operation.is_active and may_duplicate(request):
                ways.append(WayOn("Duplicate again", start_url([original.pk])))
        if not operation.is_active and (way := way_to_removal(request, operation)):
            ways.append(way)
        return ways

    def sections(self, request: HttpRequest, operation: Duplication) -> list[Section]:
        return sections_of(request, operation)


def copy_url(duplication: Duplication) -> str:
    """Where the copy is; before there is one, with {} in its id's place."""
    if duplication.has_status("COMPLETED"):
        return episode_url(duplication.new_episode_id) if duplication.new_episode_id else ""
    return episode_url("ID").replace("ID", "{}")
