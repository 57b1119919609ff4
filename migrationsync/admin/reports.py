"""What validations found: the list of reports, and the page of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from migrationsync.admin.findings import (
    EntityFilter,
    FindingAdmin,
    RunFilter,
    job_url,
    look_up_url,
    run_link,
)
from migrationsync.admin.words import ago
from migrationsync.models import MigrationValidationReport
from operations import watching
from operations.stages import label

# What is called by more than its own name, in the order in which it is told.
CRITERIA: Mapping[str, str] = {
    "wrong": "What counts as wrong",
    "deleted": "Deleted in the source is what has",
    "kinds": "What counts as a difference",
    "sees_deleted": "Sees what was deleted",
    "columns": "Columns",
    "rows_per_second": "Rows a second, at least",
    "rows_at_least": "Judged from so many rows on",
    "lookup_ms": "Look-up in ms, at most",
    "index_from": "By an index from so many rows on",
    "hit_rate": "Hit rate of the cache, at least",
    "hit_rate_from": "Judged from so many look-ups on",
}
MEASURED: Mapping[str, str] = {
    "rows_per_second": "Rows a second",
    "lookup_ms": "Look-up in ms",
    "lookup_by_index": "Look-up by an index",
    "hit_rate": "Hit rate of the cache",
}


class Named(NamedTuple):
    """A name, and what is said of it: a line or several."""

    name: str
    lines: list[str]


class Discrepancy(NamedTuple):
    """What is wrong, with how many records, and the first of them with where to look them up."""

    what: str
    records: int
    examples: list[tuple[object, str]]


@admin.register(MigrationValidationReport)
class ReportAdmin(FindingAdmin):
    list_display = ("what", "result", "validated", "took", "generated", "by_run")
    list_display_links = ("what",)
    list_filter = ("validation_passed", EntityFilter, "validation_type", RunFilter)
    list_select_related = ("run__job",)
    ordering = ("-id",)

    # --- the list ----------------------------------------------------------------

    def empty_text(self) -> SafeString:
        return format_html(
            "Nothing has been validated yet. “Validate” on the page of a "
            '<a href="{}">synchronization</a> does.',
            reverse("admin:migrationsync_synchronizationjob_changelist"),
        )

    @admin.display(description="what")
    def what(self, report: MigrationValidationReport) -> str:
        return f"{report.entity_type}: {report.get_validation_type_display().lower()}"

    @admin.display(description="result")
    def result(self, report: MigrationValidationReport) -> SafeString:
        return result_cell(report)

    @admin.display(description="records")
    def validated(self, report: MigrationValidationReport) -> str:
        return f"{report.records_validated:,}"

    @admin.display(description="took")
    def took(self, report: MigrationValidationReport) -> str:
        return watching.duration(report.execution_time_ms / 1000)

    @admin.display(description="made")
    def generated(self, report: MigrationValidationReport) -> SafeString:
        if not is_expired(report):
            return ago(report.generated_at)
        return format_html(
            '{} <span class="state" data-state="cancelled">Expired</span>',
            ago(report.generated_at),
        )

    @admin.display(description="run")
    def by_run(self, report: MigrationValidationReport) -> SafeString:
        return run_link(report.run)

    # --- the page ------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        report = self.find(request, object_id)
        if isinstance(report, HttpResponse):
            return report
        others = MigrationValidationReport.objects.filter(
            run=report.run_id, entity_type=report.entity_type
        ).order_by("validation_type")
        context = self.page(
            request,
            title=self.what(report),
            subtitle=None,
            report=report,
            run=report.run,
            job_url=job_url(report.run.job_id),
            result=result_cell(report),
            is_expired=is_expired(report),
            took=watching.duration(report.execution_time_ms / 1000),
            discrepancies=[_discrepancy(each) for each in report.discrepancy_details],
            criteria=_named(report.validation_criteria, CRITERIA),
            figures=_figures(report.metadata.get("figures")),
            measured=_named(report.metadata, MEASURED),
            others=[(each, result_cell(each)) for each in others],
        )
        return TemplateResponse(
            request, "admin/migrationsync/migrationvalidationreport/report.html", context
        )


def is_expired(report: MigrationValidationReport) -> bool:
    return report.expires_at <= timezone.now()


def result_cell(report: MigrationValidationReport) -> SafeString:
    if report.validation_passed:
        return format_html('<span class="state" data-state="{}">{}</span>', "completed", "Passed")
    found = report.discrepancies_found
    return format_html(
        '<span class="state" data-state="failed">Failed</span> {}',
        f"{found:,} discrepanc{'y' if found == 1 else 'ies'}" if found else "",
    )


def _discrepancy(found: dict[str, Any]) -> Discrepancy:
    examples = [(each, look_up_url(each)) for each in found.get("examples", [])]
    return Discrepancy(found["what"], found["count"], examples)


def _figures(found: Any) -> list[tuple[str, int]]:
    """Those that aren't nothing."""
    figures = found if isinstance(found, dict) else {}
    return [(label(name), number) for name, number in figures.items() if number]


def _named(found: Mapping[str, Any], names: Mapping[str, str]) -> list[Named]:
    """But the figures, which are told apart."""
    order = [*names, *(name for name in found if name not in names and name != "figures")]
    return [
        Named(
            names.get(name, label(name)),
            _texts(found[name]) if name == "wrong" else _lines(found[name]),
        )
        for name in order
        if name in found
    ]


def _lines(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [_pair(name, each) for name, each in value.items()] or ["none"]
    return [_told(value)]


def _texts(value: Any) -> list[str]:
    """Of names and what they mean, what they mean."""
    return list(map(_told, value.values())) if isinstance(value, dict) else _lines(value)


def _pair(name: str, value: Any) -> str:
    return name if name == value else f"{name}: {_told(value)}"


def _told(value: Any) -> str:
    if value is None:
        return "not measured"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_told(each)}" for name, each in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_told, value)) or "none"
    return str(value)
