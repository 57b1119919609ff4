"""The rows that couldn't be brought over: why, what they were, and trying them again."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from content.admin.lists import ReadOnlyAdmin
from migrationsync.admin import words
from migrationsync.admin.findings import EntityFilter, as_legacy_id
from migrationsync.entities import UnknownEntity, entities
from migrationsync.exceptions import CannotRun
from migrationsync.models import QuarantinedRow
from migrationsync.services import quarantine as services
from migrationsync.services.quarantine import MAX_AT_ONCE
from migrationsync.source.errors import SourceError

RETRY = "migrationsync.change_quarantinedrow"
# Of a value in the list; the row's page has all that is kept.
SHOWN_CHARACTERS = 60
OPEN, RESOLVED = "open", "resolved"


class StateFilter(admin.SimpleListFilter):
    """Open ones, unless the address asks for others: those are what there is to do."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return [(OPEN, "In quarantine"), (RESOLVED, "Came over since"), ("all", "All")]

    def choices(self, changelist: Any) -> Any:
        # Without the "All" of every filter: it has one of its own.
        chosen = self.value() or OPEN
        for value, title in self.lookup_choices:
            yield {
                "selected": chosen == value,
                "query_string": changelist.get_query_string({self.parameter_name: value}),
                "display": title,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "all":
            return queryset
        return queryset.filter(resolved_at__isnull=self.value() != RESOLVED)


class ColumnFilter(admin.SimpleListFilter):
    """By the column that was refused. Offered once an entity is chosen: its columns are known
    then, and its rows are few enough to look through."""

    title = "column"
    parameter_name = "column"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        try:
            entity = entities.get(request.GET.get(EntityFilter.parameter_name, ""))
        except UnknownEntity:
            return []
        return [*((name, name) for name in entity.source_columns), ("the row", "The row as such")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        column = self.value()
        return queryset.filter(reasons__contains=[{"column": column}]) if column else queryset


@admin.action(permissions=["retry"], description="Try selected rows again")
def retry_selected(
    model_admin: Any, request: HttpRequest, queryset: QuerySet[QuarantinedRow]
) -> None:
    ids = list(queryset.order_by("pk").values_list("pk", flat=True)[: MAX_AT_ONCE + 1])
    if len(ids) > MAX_AT_ONCE:
        messages.error(
            request,
            f"Nothing was tried: more than {MAX_AT_ONCE:,} rows are chosen. Choose at most "
            f"{MAX_AT_ONCE:,} at a time, or run a synchronization, which tries all of them.",
        )
        return
    retry(request, QuarantinedRow.objects.filter(pk__in=ids))


def retry(request: HttpRequest, rows: QuerySet[QuarantinedRow]) -> None:
    """Tries `rows` again, and tells what came of it."""
    tried = rows.count()
    try:
        loaded = services.retry(rows, by=request.user)
    except (CannotRun, SourceError) as error:
        messages.error(request, f"Nothing was brought over. {error}")
        return
    over = loaded.inserted + loaded.updated + loaded.unchanged + loaded.kept
    gone = tried - over - loaded.quarantined
    if over:
        messages.success(request, f"{_rows(over)} of {tried:,} came over.")
    if loaded.quarantined:
        messages.warning(
            request,
            f"{_rows(loaded.quarantined)} of {tried:,} stayed in quarantine: see the reasons, and "
            "correct the source or the declaration.",
        )
    if gone > 0:
        messages.info(request, f"{_rows(gone)} of {tried:,} had nothing to bring over any more.")


@admin.register(QuarantinedRow)
class QuarantinedRowAdmin(ReadOnlyAdmin):
    change_list_template = "admin/migrationsync/quarantinedrow/change_list.html"
    change_form_template = "admin/migrationsync/quarantinedrow/change_form.html"
    list_display = ("row", "why", "values", "attempts", "since", "state")
    list_display_links = ("row",)
    list_filter = (StateFilter, EntityFilter, ColumnFilter)
    search_fields = ("legacy_id",)
    search_help_text = "A legacy id."
    ordering = ("-id",)
    actions = (retry_selected,)
    fields = (
        "source_alias",
        "entity_type",
        "legacy_id",
        "state",
        "why",
        "whole_row",
        "attempts",
        "migration_batch",
        "created_at",
        "updated_at",
        "resolved_at",
    )
    readonly_fields = ("state", "why", "whole_row")

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(RETRY)

    # --- the list --------------------------------------------------------------------------

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        number = as_legacy_id(search_term)
        if number is None:
            return queryset.none(), False
        # By the unique index, which begins with the entity.
        names = [entity.name for entity in entities]
        return queryset.filter(entity_type__in=names, legacy_id=number), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        return super().changelist_view(request, {"title": "Quarantine", **(extra_context or {})})

    @admin.display(description="row")
    def row(self, row: QuarantinedRow) -> str:
        return f"{row.entity_type} {row.legacy_id}"

    @admin.display(description="why")
    def why(self, row: QuarantinedRow) -> SafeString:
        return format_html(
            "<ul>{}</ul>",
            format_html_join(
                "",
                "<li><code>{}</code> {}</li>",
                (
                    (each.get("column", ""), words.problem(each.get("value"), each.get("problem")))
                    for each in row.reasons
                ),
            ),
        )

    @admin.display(description="the row's data")
    def values(self, row: QuarantinedRow) -> SafeString:
        """Folded: a row may be wide, and the list is about the reasons."""
        return format_html(
            "<details><summary>{} columns</summary>{}</details>",
            len(row.data),
            _table(row.data, SHOWN_CHARACTERS),
        )

    @admin.display(description="since")
    def since(self, row: QuarantinedRow) -> SafeString:
        return words.ago(row.created_at)

    @admin.display(description="state")
    def state(self, row: QuarantinedRow) -> SafeString:
        if row.resolved_at is None:
            return format_html('<span class="state" data-state="{}">{}</span>', "failed", "Open")
        return format_html(
            '<span class="state" data-state="{}">Came over</span> {}',
            "completed",
            words.ago(row.resolved_at),
        )

    # --- the page --------------------------------------------------------------------------

    @admin.display(description="the row's data")
    def whole_row(self, row: QuarantinedRow) -> SafeString:
        return _table(row.data)

    def get_urls(self) -> list[URLPattern]:
        retry_one = self.admin_site.admin_view(require_POST(self.retry_view))
        return [
            path("<int:pk>/retry/", retry_one, name="migrationsync_quarantinedrow_retry"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        is_open = row is not None and row.resolved_at is None
        context = {
            "title": f"{row.entity_type} {row.legacy_id}" if row else "",
            "retry_url": reverse("admin:migrationsync_quarantinedrow_retry", args=[row.pk])
            if row and is_open and self.has_retry_permission(request)
            else "",
            **(extra_context or {}),
        }
        return super().change_view(request, object_id, form_url, context)

    def retry_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        if self.has_retry_permission(request):
            retry(request, QuarantinedRow.objects.filter(pk=pk))
        else:
            messages.error(request, "You may look at the quarantine, not try its rows again.")
        return HttpResponseRedirect(reverse("admin:migrationsync_quarantinedrow_change", args=[pk]))


def _rows(number: int) -> str:
    return f"{number:,} row" if number == 1 else f"{number:,} rows"


def _table(data: dict[str, Any], most: int | None = None) -> SafeString:
    return format_html(
        '<dl class="inputs row-data">{}</dl>',
        format_html_join(
            "",
            "<dt>{}</dt><dd>{}</dd>",
            ((name, _value(value, most)) for name, value in data.items()),
        ),
    )


def _value(value: Any, most: int | None) -> SafeString | str:
    if value is None:
        return format_html('<span class="quiet">{}</span>', "nothing")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if text == "":
        return format_html('<span class="quiet">{}</span>', "empty")
    return f"{text[:most]}…" if most and len(text) > most else text
