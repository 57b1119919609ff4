"""What was changed to make the two sides alike: the list, each change's page, and its undo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from migrationsync.admin import showing
from migrationsync.admin.findings import (
    DECIDE,
    EntityFilter,
    FindingAdmin,
    RunFilter,
    as_legacy_id,
    as_uuid,
    job_url,
    look_up_url,
    run_link,
)
from migrationsync.admin.review import review_url
from migrationsync.admin.words import ago
from migrationsync.entities import entities
from migrationsync.exceptions import CannotUndo
from migrationsync.models import AppliedChange
from migrationsync.resolving.rules import Action
from migrationsync.services import decisions
from migrationsync.source import SourceError
from operations.pages import confirmation


class UndoneFilter(admin.SimpleListFilter):
    title = "undone"
    parameter_name = "undone"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return [("no", "No"), ("yes", "Yes")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in ("no", "yes"):
            return queryset
        return queryset.filter(undone_at__isnull=self.value() == "no")


@admin.register(AppliedChange)
class ChangeAdmin(FindingAdmin):
    list_display = ("record_key", "what", "side", "applied", "by_run", "undone")
    list_display_links = ("record_key",)
    list_filter = (UndoneFilter, EntityFilter, "side", RunFilter)
    list_select_related = ("run__job", "applied_by", "undone_by")
    search_fields = ("legacy_id",)
    search_help_text = "A legacy id or a UUID."
    ordering = ("-id",)

    # --- the list ----------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # The rows as they were, which a list doesn't show.
        return super().get_queryset(request).defer("before", "after", "mapping_before")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        # The indexes begin with the entity.
        named = Q(entity_type__in=[each.name for each in entities])
        if (legacy_id := as_legacy_id(text)) is not None:
            return queryset.filter(named, legacy_id=legacy_id), False
        if key := as_uuid(text):
            return queryset.filter(named, uuid=key), False
        return queryset.none(), False

    def empty_text(self) -> str:
        return "Nothing has been changed yet. What a sync or a decision changes is kept here."

    @admin.display(description="record")
    def record_key(self, change: AppliedChange) -> str:
        return title_of(change)

    @admin.display(description="what was done")
    def what(self, change: AppliedChange) -> str:
        return action_label(change)

    @admin.display(description="when")
    def applied(self, change: AppliedChange) -> SafeString:
        by = change.applied_by
        return format_html("{} by {}", ago(change.applied_at), by) if by else ago(change.applied_at)

    @admin.display(description="run")
    def by_run(self, change: AppliedChange) -> str:
        return run_link(change.run) if change.run else "–"

    @admin.display(description="undone")
    def undone(self, change: AppliedChange) -> str:
        if not change.undone_at:
            return "–"
        return format_html(
            '<span class="state" data-state="cancelled">Undone</span> {}', ago(change.undone_at)
        )

    # --- the page ------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        pages: list[tuple[str, str, Callable[..., HttpResponse]]] = [
            ("<str:object_id>/undo/", "undo", self.undo_view),
        ]
        return [
            *(
                path(route, self.admin_site.admin_view(view), name=f"{self.url_prefix}_{name}")
                for route, name, view in pages
            ),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        change = self.find(request, object_id)
        if isinstance(change, HttpResponse):
            return change
        job = change.job
        rows = showing.changes(change.before, change.after)
        context = self.page(
            request,
            title=title_of(change),
            subtitle=None,
            change=change,
            what=action_label(change),
            run=change.run,
            job_url=job_url(job.pk) if job else "",
            rows=rows,
            differing=sum(row.differs for row in rows),
            look_up_url=look_up_url(change.key),
            review_url=review_url(job.pk, change.entity_type, record=change.record_id)
            if job and change.record_id
            else "",
            may_undo=change.undone_at is None and may_undo(request, change),
        )
        return TemplateResponse(request, "admin/migrationsync/appliedchange/change.html", context)

    def undo_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET asks, POST does it."""
        change = self.find(request, object_id)
        if isinstance(change, HttpResponse):
            return change
        if not may_undo(request, change):
            raise PermissionDenied
        url = reverse(f"admin:{self.url_prefix}_change", args=[change.pk])
        if request.method in ("GET", "HEAD"):
            return confirmation(
                request,
                back_url=url,
                title=f"Undo: {action_label(change).lower()}, {title_of(change)}?",
                text=f"The {change.get_side_display().lower()}'s row becomes again what it was "
                "before. Refused if it was changed since.",
                action=request.path,
                fields=[],
                label="Undo it",
            )
        if request.method != "POST":
            return HttpResponseNotAllowed(["GET", "POST"])
        try:
            decisions.undo(change, by=request.user)
        except (CannotUndo, SourceError) as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"{title_of(change)}: what was done is undone.")
        return HttpResponseRedirect(url)


def title_of(change: AppliedChange) -> str:
    return f"{change.entity_type} {change.key}"


def action_label(change: AppliedChange) -> str:
    """Of an action that is no more: its name."""
    if change.action not in set(Action):
        return change.action
    label = Action(change.action).label
    return label[:1].upper() + label[1:]


def may_undo(request: HttpRequest, change: AppliedChange) -> bool:
    job = change.job
    return job.may_be_controlled_by(request.user) if job else request.user.has_perm(DECIDE)
