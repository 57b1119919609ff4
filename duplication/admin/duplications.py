"""The list of duplications, and the page on which one is watched."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.options import ModelAdmin
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.forms import Script
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.text import Truncator

from content.admin.pagination import BoundedPaginator
from content.links import as_id
from content.permissions import can_view_episode
from duplication.admin.stages import LABELS, STAGES
from duplication.admin.starting import may_duplicate, start_page, start_url
from duplication.models import Duplication, DuplicationJob
from operations import watching
from operations.models import Event

EVENTS_SHOWN = 50


@admin.register(Duplication)
class DuplicationAdmin(ModelAdmin):
    """To look at only. One sees one's own, or all with the model's view permission."""

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
    list_display_links = ("id",)
    list_filter = ("status", "created_at")
    search_fields = ("title",)
    search_help_text = "Words of a title, or the id of a duplication or an episode."
    ordering = ("-id",)
    sortable_by: ClassVar[tuple[str, ...]] = ()
    actions = None
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    class Media:
        js = [Script("operations/progress-feed.js", type="module")]

    # --- who may what ----------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if super().has_view_permission(request, obj):
            return True
        if obj is not None:
            return bool(obj.requested_by_id == request.user.pk)
        return may_duplicate(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return Duplication.viewable_by(request.user).order_by(*self.ordering)

    # --- the list ----------------------------------------------------------------

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        return super().changelist_view(request, {"title": "Duplications", **(extra_context or {})})

    def get_paginator(
        self, request: HttpRequest, queryset: QuerySet[Any], per_page: int, *args: Any, **kw: Any
    ) -> Paginator:
        page = as_id(request.GET.get("p", "1")) or 1
        return BoundedPaginator(queryset, per_page, page=page, count_order=())

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        found = Q(title__icontains=search_term) | Q(episode__title__icontains=search_term)
        if (number := as_id(search_term)) is not None:
            found |= Q(pk=number) | Q(org_episode_id=number) | Q(new_episode=number)
        return queryset.filter(found), False

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
        return self._cell("copy", duplication, copy_url=copy_url(duplication))

    @admin.display(description="state")
    def state(self, duplication: Duplication) -> str:
        return self._cell("state", duplication)

    @admin.display(description="progress")
    def how_far(self, duplication: Duplication) -> str:
        percent = watching.percent(duplication, STAGES)
        return self._cell("progress", duplication, stages=STAGES, percent=percent)

    @admin.display(description="started")
    def started(self, duplication: Duplication) -> str:
        return self._cell("started", duplication)

    @admin.display(description="duration")
    def lasted(self, duplication: Duplication) -> str:
        return self._cell("lasted", duplication)

    def _cell(self, cell: str, duplication: Duplication, **context: Any) -> str:
        return render_to_string(
            f"admin/duplication/duplication/cells/{cell}.html",
            {"duplication": duplication, **context},
        )

    # --- the page ------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        start = path(
            "start/",
            self.admin_site.admin_view(self.start_view),
            name="duplication_duplication_start",
        )
        return [start, *super().get_urls()]

    def start_view(self, request: HttpRequest) -> HttpResponse:
        return start_page(self, request)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        number = as_id(object_id)
        duplication = self.get_queryset(request).filter(pk=number).first() if number else None
        if duplication is None:
            messages.warning(
                request, f"There is no duplication “{object_id}”, or it isn't yours to see."
            )
            return HttpResponseRedirect(reverse("admin:duplication_duplication_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Duplication {duplication.pk}",
            "opts": self.opts,
            "media": self.media,
            **_page(request, duplication),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/duplication/duplication/change_form.html", context)


def episode_url(episode_id: object) -> str:
    return reverse("admin:content_episode_change", args=[episode_id])


def copy_url(duplication: Duplication) -> str:
    """Where the copy is; before there is one, with {} in its id's place."""
    if duplication.has_status("COMPLETED"):
        return episode_url(duplication.new_episode_id) if duplication.new_episode_id else ""
    return episode_url("ID").replace("ID", "{}")


def _page(request: HttpRequest, duplication: Duplication) -> dict[str, Any]:
    """All of one moment: the events are those up to the sequence of the row that was read."""
    events = Event.objects.filter(
        kind=duplication.kind,
        operation_id=str(duplication.pk),
        sequence__lte=duplication.event_sequence,
    ).order_by("-sequence")[:EVENTS_SHOWN]
    failed = None
    if duplication.has_status("FAILED"):
        failed = (
            duplication.jobs.filter(status=DuplicationJob.Status.FAILED)
            .order_by("-ended_at")
            .only("name", "stage", "lane", "traceback")
            .first()
        )
    original = duplication.episode
    may_open_original = original is not None and can_view_episode(request.user, original)
    return {
        "duplication": duplication,
        "stage_definitions": STAGES,
        "stages": watching.stage_rows(duplication, STAGES),
        "report_levels": [
            {**level, "label": LABELS.get(level["stage"], level["stage"])}
            for level in duplication.report.get("levels", ())
        ],
        "failed_job": failed,
        "events": watching.event_rows(events, STAGES),
        "events_limit": EVENTS_SHOWN,
        "copy_url": copy_url(duplication),
        "original_url": episode_url(original.pk) if original and may_open_original else "",
        "again_url": start_url([original.pk])
        if original and may_open_original and may_duplicate(request)
        else "",
    }
