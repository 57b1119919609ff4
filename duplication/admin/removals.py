"""The list of removals, and the page on which one is watched."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from duplication.admin.copies import CopyOperationAdmin, duplication_url
from duplication.models import UNFINISHED, Duplication, Removal
from duplication.removal.asking import keep_page, refused_removal, why_not
from duplication.removal.conditions import is_undo
from duplication.removal.services import may_keep_copy
from operations.admin import WayOn


@admin.register(Removal)
class RemovalAdmin(CopyOperationAdmin):
    list_display = ("id", "state", "how_far", "duplication", "requested_by", "started", "lasted")
    list_select_related = ("requested_by", "duplication")

    def summary(self, operation: Removal) -> str:
        return f"of the copy of duplication {operation.duplication_id}"

    def inputs(self, operation: Removal) -> list[tuple[str, Any]]:
        edited = "removed with it" if operation.even_if_changed else "a reason to refuse"
        return [
            ("Copy", f"of duplication {operation.duplication_id}"),
            ("What was edited in the copy", edited),
        ]

    def ways_on(self, request: HttpRequest, operation: Removal) -> list[WayOn]:
        ways = [WayOn("Open the duplication", duplication_url(operation.duplication_id))]
        if may_keep_copy(request.user, operation):
            ways.append(WayOn("Keep the copy…", self.keep_url(operation)))
        duplication = operation.duplication
        if refused_removal(duplication) == operation and not why_not(request.user, duplication):
            ways.append(WayOn("Remove it even so…", remove_url(duplication)))
        return ways

    def get_urls(self) -> list[URLPattern]:
        keep = self.admin_site.admin_view(self.keep)
        return [
            path("<int:pk>/keep/", keep, name=f"{self.url_prefix}_keep"),
            *super().get_urls(),
        ]

    def keep(self, request: HttpRequest, pk: int) -> HttpResponse:
        removal = self.find(request, str(pk))
        if removal is None:
            return HttpResponseRedirect(self.list_url())
        return keep_page(request, removal, back_url=self.page_url(removal))

    def keep_url(self, removal: Removal) -> str:
        return reverse(f"admin:{self.url_prefix}_keep", args=[removal.pk])

    def empty_text(self) -> str:
        return "No copy has been removed yet. A copy's own page offers it."


def removal_url(removal: Removal) -> str:
    return reverse("admin:duplication_removal_change", args=[removal.pk])


def way_to_removal(request: HttpRequest, duplication: Duplication) -> WayOn | None:
    """To the removal that is under way, or to the page that asks; None where neither is."""
    removal = duplication.removals.filter(UNFINISHED).order_by("-pk").first()
    if removal is not None:
        return WayOn("Open the removal", removal_url(removal))
    if why_not(request.user, duplication):
        return None
    label = "Undo…" if is_undo(duplication) else "Clean up…"
    return WayOn(label, remove_url(duplication))


def remove_url(duplication: Duplication) -> str:
    return reverse("admin:duplication_duplication_remove", args=[duplication.pk])
