"""The list of synchronizations, and the page on which one is watched and steered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from content.admin.lists import BoundedList
from content.admin.pagination import bounded
from migrationsync.admin import counting, editing, forms, steering, words
from migrationsync.admin.findings import MAKE_JOBS
from migrationsync.admin.sections import sections_of
from migrationsync.entities import entities
from migrationsync.models import SynchronizationJob
from migrationsync.resolving.budget import in_words
from operations.admin import OperationAdmin, Section, WayOn
from operations.admin.actions import CONTROL_ACTIONS

TEMPLATES = "admin/migrationsync/synchronizationjob"


class JobList(ChangeList):
    """Its rows know how much there is to look into: two statements for the whole page."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        jobs = list(self.result_list)
        names = {name for job in jobs for name in job.entities_to_sync}
        differing = counting.differing(job.pk for job in jobs)
        quarantined = counting.quarantined(names)
        for job in jobs:
            job.differing_records = differing.get(job.pk, 0)
            job.quarantined_rows = sum(quarantined.get(name, 0) for name in job.entities_to_sync)
        self.result_list = jobs


@admin.register(SynchronizationJob)
class SynchronizationJobAdmin(BoundedList, OperationAdmin):
    """Who may add synchronizations has a list: their own."""

    list_display = (
        "job_name",
        "state",
        "what",
        "last_run",
        "next_run",
        "to_look_into",
    )
    list_display_links = ("job_name",)
    list_filter = ("status", "job_type", "sync_direction")
    list_select_related = ("requested_by", "latest_run")
    search_fields = ("job_name",)
    search_help_text = "Words of a name."
    ordering = ("job_name",)
    actions = (*steering.START_ACTIONS, *CONTROL_ACTIONS)
    page_template = f"{TEMPLATES}/page.html"

    # --- who may what --------------------------------------------------------------------

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if super().has_view_permission(request, obj):
            return True
        return obj is None and self.has_add_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(MAKE_JOBS)

    # --- the list ------------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return JobList

    def search_condition(self, text: str) -> Q:
        return Q(job_name__icontains=text)

    @admin.display(description="state")
    def state(self, operation: Any) -> str:
        if operation.latest_run is None and not operation.recurs:
            return self._cell("not_run_yet", operation)
        return super().state(operation)

    @admin.display(description="does")
    def what(self, job: SynchronizationJob) -> str:
        return words.what_it_does(job)

    @admin.display(description="last run")
    def last_run(self, job: SynchronizationJob) -> SafeString | str:
        """With what came of all of them."""
        if job.latest_run is None:
            return "never"
        return self._cell("last_run", job, run=job.latest_run, lasted=words.lasted(job.latest_run))

    @admin.display(description="schedule")
    def next_run(self, job: SynchronizationJob) -> SafeString:
        ahead = words.ahead(job.next_run_at) if job.next_run_at else ""
        return self._cell("next_run", job, words=words.schedule(job), ahead=ahead)

    @admin.display(description="to look into")
    def to_look_into(self, job: Any) -> SafeString | str:
        return self._cell(
            "to_look_into",
            job,
            url=self.page_url(job),
            differing=bounded(job.differing_records) if job.differing_records else "",
            quarantined=bounded(job.quarantined_rows) if job.quarantined_rows else "",
        )

    def _cell(self, name: str, job: SynchronizationJob, **context: Any) -> SafeString:
        return render_to_string(f"{TEMPLATES}/cells/{name}.html", {"operation": job, **context})

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        empty_text = render_to_string(
            f"{TEMPLATES}/empty.html",
            {"setup": setup(), "may_add": self.has_add_permission(request)},
        )
        return super().changelist_view(request, {"empty_text": empty_text, **(extra_context or {})})

    # --- the page ------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        pages: list[tuple[str, str, Callable[..., HttpResponse]]] = [
            ("edit", "edit", self.edit_view),
            ("remove", "remove", self.remove_view),
            ("approve", "approve", self.approve_view),
            ("start/<str:name>", "start", require_POST(self.start_view)),
        ]
        return [
            *(
                path(
                    f"<uuid:pk>/{route}/",
                    self.admin_site.admin_view(view),
                    name=f"{self.url_prefix}_{name}",
                )
                for route, name, view in pages
            ),
            path(
                "schedule-preview/",
                self.admin_site.admin_view(self.schedule_preview_view),
                name=f"{self.url_prefix}_schedule_preview",
            ),
            *super().get_urls(),
        ]

    def schedule_preview_view(self, request: HttpRequest) -> HttpResponse:
        """For the form, as it is being filled in: `cron` or `interval_minutes`."""
        context = {"preview": forms.preview(request.GET.dict())}
        return TemplateResponse(request, f"{TEMPLATES}/schedule_preview.html", context)

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return editing.form_page(self, request)

    def edit_view(self, request: HttpRequest, pk: object) -> HttpResponse:
        return self._steer(request, pk, lambda job: editing.form_page(self, request, job))

    def remove_view(self, request: HttpRequest, pk: object) -> HttpResponse:
        return self._steer(request, pk, lambda job: editing.delete_page(self, request, job))

    def approve_view(self, request: HttpRequest, pk: object) -> HttpResponse:
        return self._steer(
            request, pk, lambda job: steering.approve(request, job, self.page_url(job))
        )

    def start_view(self, request: HttpRequest, pk: object, name: str) -> HttpResponse:
        return self._steer(
            request, pk, lambda job: steering.start(request, job, name, self.page_url(job))
        )

    def _steer(
        self, request: HttpRequest, pk: object, act: Callable[[SynchronizationJob], HttpResponse]
    ) -> HttpResponse:
        job = self.find(request, str(pk))
        if job is None:
            return HttpResponseRedirect(self.list_url())
        if not job.may_be_controlled_by(request.user):
            raise PermissionDenied
        return act(job)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("latest_run__started_by")

    def summary(self, operation: SynchronizationJob) -> str:
        return words.what_it_does(operation)

    def inputs(self, operation: SynchronizationJob) -> list[tuple[str, Any]]:
        job = operation
        return [
            ("Name", job.job_name),
            ("What it is", job.get_job_type_display()),
            ("Legacy database", job.source_alias),
            ("Entities", ", ".join(job.entities_to_sync)),
            ("Schedule", words.schedule(job)),
            ("Direction", job.get_sync_direction_display()),
            ("When both sides changed", job.get_conflict_resolution_display()),
            ("Records per batch", f"{job.max_records_per_batch:,} at most"),
            (
                "Refused rows",
                f"fail a load or sync beyond {float(job.max_failed_percent):g} % of an entity's",
            ),
            (
                "Deletes without asking",
                f"{job.max_deletes:,} records at most, and {float(job.max_deleted_percent):g} % of "
                "an entity's",
            ),
        ]

    def nothing_yet(self, operation: SynchronizationJob) -> str:
        return (
            "It hasn't run yet. “Run now” begins; “Dry run” finds out what differs before, and "
            "changes nothing."
        )

    def refreshes_with_progress(self, operation: SynchronizationJob) -> bool:
        return operation.latest_run is not None and operation.latest_run.is_open

    def ways_on(self, request: HttpRequest, operation: SynchronizationJob) -> list[WayOn]:
        if not operation.may_be_controlled_by(request.user):
            return []
        ways = [WayOn("Change…", self._url("edit", operation))]
        if not editing.why_not_now(operation):
            ways.append(WayOn("Delete…", self._url("remove", operation)))
        return ways

    def sections(self, request: HttpRequest, operation: SynchronizationJob) -> list[Section]:
        return sections_of(request, operation)

    def _page(self, request: HttpRequest, operation: Any) -> dict[str, Any]:
        found = steering.question(operation)
        may_steer = operation.may_be_controlled_by(request.user)
        return {
            **super()._page(request, operation),
            "title": operation.job_name,
            "starts": [
                (each, self._url("start", operation, each.name))
                for each in steering.starts(operation, request.user)
            ],
            "asked": in_words(found) if found else [],
            "approve_url": self._url("approve", operation) if found and may_steer else "",
            "warnings": words.missing_parents_in_words(operation.entities_to_sync),
        }

    def _url(self, name: str, job: SynchronizationJob, *more: str) -> str:
        return reverse(f"admin:{self.url_prefix}_{name}", args=[job.pk, *more])


def setup() -> list[str]:
    """What is still to be done before a synchronization can be added, first things first."""
    steps = []
    if "legacy" not in settings.DATABASES:
        steps.append("database")
    if not any(entities):
        steps.append("entities")
    return steps
