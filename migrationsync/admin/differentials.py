"""The list of what comparisons found, and the page of one differential with its records."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple, cast
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet
from django.db.models.fields.json import KeyTransform
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from content.admin.pagination import BoundedCount
from migrationsync.admin.findings import (
    EntityFilter,
    FindingAdmin,
    GivenFilter,
    RunFilter,
    job_url,
    joined,
    run_link,
)
from migrationsync.admin.resolving import MAX_CHOSEN, resolve_page, resolve_url
from migrationsync.admin.review import review_page, review_url
from migrationsync.admin.showing import DECISIONS, KINDS, NOTHING_TO_WIN, compared_by
from migrationsync.admin.words import ago
from migrationsync.differences import Kind
from migrationsync.models import DataDifferential, DifferentialRecord, SynchronizationJob
from migrationsync.models.differentials import Strategy
from migrationsync.querysets import DifferentialQuerySet
from migrationsync.resolving.rules import allowed
from operations.api.pagination import is_number

RECORDS_SHOWN = 50
COLUMNS_SHOWN = 4


class State(NamedTuple):
    """Of a differential: its word, and the icon that goes with it. `rows` finds those in it."""

    name: str
    label: str
    icon: str
    rows: Callable[[DifferentialQuerySet], DifferentialQuerySet]


STATES = (
    State("open", "To be decided", "waiting", DifferentialQuerySet.open),
    State("resolved", "Resolved", "completed", DifferentialQuerySet.resolved),
    State("superseded", "Superseded", "cancelled", DifferentialQuerySet.superseded),
)
RECORD_ICONS = {
    DifferentialRecord.State.OPEN: "waiting",
    DifferentialRecord.State.RESOLVED: "completed",
    DifferentialRecord.State.SKIPPED: "cancelled",
    DifferentialRecord.State.FAILED: "failed",
}


class StateFilter(admin.SimpleListFilter):
    """What is to be decided, unless something else is asked for."""

    title = "state"
    parameter_name = "state"
    ALL = "all"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return [*((each.name, each.label) for each in STATES[1:]), (self.ALL, "All")]

    def choices(self, changelist: Any) -> Any:
        for index, choice in enumerate(super().choices(changelist)):
            yield choice if index else {**choice, "display": STATES[0].label}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == self.ALL:
            return queryset
        wanted = next((each for each in STATES if each.name == self.value()), STATES[0])
        return wanted.rows(cast("DifferentialQuerySet", queryset))


class JobFilter(GivenFilter):
    title = "synchronization"
    parameter_name = "job"
    model = SynchronizationJob
    field = "checkpoint__sync_job"


class FoundByFilter(RunFilter):
    field = "checkpoint__run"


def _decide(strategy: Strategy) -> Any:
    def act(
        model_admin: admin.ModelAdmin, request: HttpRequest, queryset: QuerySet[Any]
    ) -> HttpResponse | None:
        ids = list(queryset.order_by("pk").values_list("pk", flat=True)[: MAX_CHOSEN + 1])
        if len(ids) > MAX_CHOSEN:
            messages.error(
                request,
                f"Nothing was done: more than {MAX_CHOSEN} are chosen. "
                f"Choose at most {MAX_CHOSEN} at a time.",
            )
            return None
        return HttpResponseRedirect(resolve_url(strategy, differentials=ids))

    act.__name__ = strategy.value
    return admin.action(description=f"{strategy.label}…")(act)


@admin.register(DataDifferential)
class DifferentialAdmin(FindingAdmin):
    list_display = ("what", "state", "still_open", "compared", "rule", "found")
    list_display_links = ("what",)
    list_filter = (StateFilter, EntityFilter, "kind", JobFilter, FoundByFilter)
    list_select_related = ("checkpoint__run__job",)
    ordering = ("-id",)
    actions = tuple(_decide(each) for each in DECISIONS)

    # --- the list ----------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        still_open = (
            DifferentialRecord.objects.undecided().filter(differential=OuterRef("pk")).order_by()
        )
        return (
            super()
            .get_queryset(request)
            # Up to 10,000 ids each.
            .defer("legacy_ids", "comparison_criteria")
            .annotate(
                open_records=BoundedCount(still_open.values("pk")),
                columns=KeyTransform("columns", "comparison_criteria"),
            )
        )

    def empty_text(self) -> SafeString:
        return format_html(
            "Nothing is left to decide. “Compare” on the page of a "
            '<a href="{}">synchronization</a> looks for differences.',
            reverse("admin:migrationsync_synchronizationjob_changelist"),
        )

    @admin.display(description="difference")
    def what(self, differential: DataDifferential) -> str:
        return str(differential)

    @admin.display(description="state")
    def state(self, differential: DataDifferential) -> str:
        return state_cell(state_of(differential))

    @admin.display(description="still open")
    def still_open(self, differential: Any) -> str:
        return f"{differential.open_records:,} of {differential.record_count:,}"

    @admin.display(description="compared")
    def compared(self, differential: Any) -> str:
        names = list(differential.columns or {})
        if not names:
            return "–"
        shown = joined(names) if len(names) <= COLUMNS_SHOWN else f"{len(names)} columns"
        return format_html('<span title="{}">{}</span>', ", ".join(names), shown)

    @admin.display(description="decision")
    def rule(self, differential: DataDifferential) -> str:
        return differential.get_resolution_strategy_display()

    @admin.display(description="found")
    def found(self, differential: DataDifferential) -> SafeString:
        moment = ago(differential.created_at)
        return format_html("{} by {}", moment, run_link(differential.checkpoint.run))

    # --- the pages ---------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        pages: list[tuple[str, str, Callable[..., HttpResponse]]] = [
            ("resolve/", f"{self.url_prefix}_resolve", self.resolve),
            ("review/<uuid:job>/<str:entity>/", "migrationsync_review", self.review),
        ]
        return [
            *(
                path(route, self.admin_site.admin_view(view), name=name)
                for route, name, view in pages
            ),
            *super().get_urls(),
        ]

    def resolve(self, request: HttpRequest) -> HttpResponse:
        return resolve_page(self, request)

    def review(self, request: HttpRequest, job: UUID, entity: str) -> HttpResponse:
        return review_page(self, request, job, entity)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        differential = self.find(request, object_id)
        if isinstance(differential, HttpResponse):
            return differential
        criteria = differential.comparison_criteria
        run = differential.checkpoint.run
        is_open = differential.is_open
        context = self.page(
            request,
            title=str(differential),
            subtitle=None,
            differential=differential,
            state=state_of(differential),
            kind_words=KINDS[differential.kind],
            compared_by=compared_by(criteria),
            columns=(criteria.get("columns") or {}).items(),
            run=run,
            job_url=job_url(run.job_id),
            decisions=_decisions(request, differential) if is_open else [],
            review_url=review_url(run.job_id, differential.entity_type, kind=differential.kind)
            if is_open
            else "",
            metadata=json.dumps(differential.metadata, indent=2, ensure_ascii=False)
            if differential.metadata
            else "",
            **_records(request, differential),
        )
        return TemplateResponse(
            request, "admin/migrationsync/datadifferential/differential.html", context
        )


class RecordRow(NamedTuple):
    """`review_url` leads to it in three columns."""

    record: DifferentialRecord
    icon: str
    review_url: str
    may_be_decided: bool


class Decision(NamedTuple):
    """What may be chosen for a differential's records. `refusal` says why it may not."""

    strategy: Strategy
    refusal: str
    all_url: str


def state_of(differential: DataDifferential) -> State:
    if differential.resolved:
        return STATES[1]
    return STATES[0] if differential.superseded_at is None else STATES[2]


def state_cell(state: State) -> SafeString:
    return format_html('<span class="state" data-state="{}">{}</span>', state.icon, state.label)


def _decisions(request: HttpRequest, differential: DataDifferential) -> list[Decision]:
    """None for who may not decide."""
    if not differential.checkpoint.run.job.may_be_controlled_by(request.user):
        return []
    possible = allowed(Kind(differential.kind))
    return [
        Decision(
            each,
            "" if each in possible else NOTHING_TO_WIN,
            resolve_url(each, differentials=[differential.pk]),
        )
        for each in DECISIONS
    ]


def _records(request: HttpRequest, differential: DataDifferential) -> dict[str, Any]:
    """A page of them by their key, and the query of the next one."""
    states = DifferentialRecord.State
    wanted = request.GET.get("records", "")
    behind = request.GET.get("after", "")
    records = differential.records.select_related("decided_by", "resolving_run").order_by("pk")
    if wanted in states:
        records = records.filter(state=wanted)
    else:
        wanted = ""
    if is_number(behind):
        records = records.filter(pk__gt=int(behind))
    page = list(records[: RECORDS_SHOWN + 1])
    shown, is_more = page[:RECORDS_SHOWN], len(page) > RECORDS_SHOWN
    review = differential.checkpoint.run.job_id, differential.entity_type
    query = {"records": wanted} if wanted else {}
    return {
        "records": [
            RecordRow(
                each,
                RECORD_ICONS[states(each.state)],
                review_url(*review, kind=differential.kind, record=each.pk),
                each.is_undecided,
            )
            for each in shown
        ],
        "record_states": states.choices,
        "wanted": wanted,
        "is_first": not is_number(behind),
        "first_query": urlencode(query),
        "next_query": urlencode({**query, "after": str(shown[-1].pk)}) if is_more else "",
        "open_count": differential.records.undecided().count(),
    }
