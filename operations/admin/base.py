"""The list and the page of one kind of operation, to look at and to steer, never to edit."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from django.contrib import admin, messages
from django.contrib.admin.options import ModelAdmin
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
from django.urls import reverse

from operations import kinds, notifications, watching
from operations.admin.actions import CONTROL_ACTIONS
from operations.admin.history import audit, event_list
from operations.keys import key_of
from operations.models import Operation
from operations.pages import is_looked_at, live_refresh, liveness
from operations.stages import label


class WayOn(NamedTuple):
    """A link to what can be done next. The first `is_default` one is the obvious one."""

    label: str
    url: str
    is_default: bool = False


class Section(NamedTuple):
    """A part of the page that its kind fills: its template finds `content` as `section`."""

    id: str
    template: str
    content: Any


class OperationAdmin(ModelAdmin):
    """Base. One sees one's own, or all with the model's view permission. A kind may say more of
    an operation in the methods of "what a kind says"."""

    list_display: Any = ("id", "state", "how_far", "requested_by", "started", "lasted")
    list_display_links: Any = ("id",)
    list_filter: ClassVar[Any] = ("status", "created_at")
    list_select_related: ClassVar[Any] = ("requested_by",)
    search_fields: ClassVar[Any] = ("id",)
    search_help_text = "An id."
    ordering: ClassVar[Any] = ("-id",)
    sortable_by: ClassVar[Any] = ()
    actions: Any = CONTROL_ACTIONS
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    change_list_template = "admin/operations/list.html"
    page_template = "admin/operations/page.html"

    class Media:
        js = [
            Script("operations/progress-feed.js", type="module"),
            Script("operations/live-page.js", type="module"),
        ]

    # --- what a kind says ----------------------------------------------------------

    def summary(self, operation: Any) -> str:
        """What it is about, in a few words."""
        return ""

    def inputs(self, operation: Any) -> list[tuple[str, Any]]:
        """What was asked for: names and values."""
        return []

    def ways_on(self, request: HttpRequest, operation: Any) -> list[WayOn]:
        return []

    def sections(self, request: HttpRequest, operation: Any) -> list[Section]:
        return []

    def settled(self) -> Q:
        """Failed ones that somebody has dealt with other than by trying again."""
        return Q(pk__in=[])

    def empty_text(self) -> str:
        """What the list says when there is none at all."""
        return f"There are no {self.opts.verbose_name_plural} yet."

    def nothing_yet(self, operation: Any) -> str:
        """What its page says instead of stages when there are none."""
        return "Nothing has been done yet."

    def refreshes_with_progress(self, operation: Any) -> bool:
        """Whether its sections tell of what moves, so that they are drawn anew as it does."""
        return False

    def question(self, operation: Operation) -> str:
        return kinds.get(operation.kind).question(operation)

    # --- who may what ----------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if super().has_view_permission(request, obj):
            return True
        return obj is not None and obj.requested_by_id == request.user.pk

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.model.viewable_by(request.user).order_by(*self.ordering)

    # --- the list ----------------------------------------------------------------------

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        context = {
            "title": label(str(self.opts.verbose_name_plural)),
            "empty_text": self.empty_text(),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        return queryset.filter(self.search_condition(search_term)), False

    def search_condition(self, text: str) -> Q:
        return Q(pk=key_of(self.model, text))

    @admin.display(description="state")
    def state(self, operation: Operation) -> str:
        return self.cell("state", operation, question=self.question(operation))

    @admin.display(description="progress")
    def how_far(self, operation: Operation) -> str:
        stages = kinds.get(operation.kind).stages_of(operation)
        percent = watching.percent(operation, stages)
        return self.cell("progress", operation, stages=stages, percent=percent)

    @admin.display(description="started")
    def started(self, operation: Operation) -> str:
        return self.cell("started", operation)

    @admin.display(description="duration")
    def lasted(self, operation: Operation) -> str:
        return self.cell("lasted", operation)

    def cell(self, name: str, operation: Operation, **context: Any) -> str:
        return render_to_string(
            f"admin/operations/cells/{name}.html", {"operation": operation, **context}
        )

    # --- the page ------------------------------------------------------------------------

    def page_url(self, operation: Operation) -> str:
        return reverse(f"admin:{self.url_prefix}_change", args=[operation.pk])

    def list_url(self) -> str:
        return reverse(f"admin:{self.url_prefix}_changelist")

    @property
    def url_prefix(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}"

    def find(self, request: HttpRequest, object_id: str) -> Any:
        """The operation, or None with a message to the user."""
        key = key_of(self.model, object_id)
        operation = self.get_queryset(request).filter(pk=key).first()
        if operation is None:
            messages.warning(
                request,
                f"There is no {self.opts.verbose_name} “{object_id}”, or it isn't yours to see.",
            )
        return operation

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        operation = self.find(request, object_id)
        if operation is None:
            return HttpResponseRedirect(self.list_url())
        if is_looked_at(request):
            notifications.mark_seen(operation, request.user)
        return TemplateResponse(
            request, self.page_template, self._page(request, operation) | (extra_context or {})
        )

    def _page(self, request: HttpRequest, operation: Any) -> dict[str, Any]:
        """All of one moment: the events are those up to the sequence of the row that was read."""
        kind = kinds.get(operation.kind)
        stages = kind.stages_of(operation)
        failed_job = None
        if operation.has_status("FAILED"):
            failed_job = (
                kind.jobs_of(operation)
                .filter(status=kind.job.Status["FAILED"])
                .order_by("-ended_at")
                .only("name", "stage", "lane", "traceback")
                .first()
            )
        return {
            **self.admin_site.each_context(request),
            **live_refresh(request),
            "title": f"{label(str(self.opts.verbose_name))} {operation.pk}",
            "summary": self.summary(operation),
            "opts": self.opts,
            "media": self.media,
            "list_url": self.list_url(),
            "list_title": label(str(self.opts.verbose_name_plural)),
            "operation": operation,
            "stage_definitions": stages,
            "stages": watching.stage_rows(operation, stages),
            "nothing_yet": self.nothing_yet(operation),
            **liveness(operation),
            "refreshes_with_progress": self.refreshes_with_progress(operation),
            "failed_job": failed_job,
            "ways_on": self.ways_on(request, operation),
            "sections": self.sections(request, operation),
            "inputs": self.inputs(operation),
            "history": event_list(operation, stages, request.GET),
            "audit": audit(operation),
        }
