"""The list of catch-ups, and the page on which one is watched."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from duplication.admin.copies import CopyOperationAdmin, duplication_url
from duplication.models import CatchUp
from operations.admin import WayOn


@admin.register(CatchUp)
class CatchUpAdmin(CopyOperationAdmin):
    list_display = ("id", "state", "how_far", "duplication", "requested_by", "started", "lasted")
    list_select_related = ("requested_by", "duplication")

    def summary(self, operation: CatchUp) -> str:
        return f"of the copy of duplication {operation.duplication_id}"

    def inputs(self, operation: CatchUp) -> list[tuple[str, Any]]:
        return [("Copy", f"of duplication {operation.duplication_id}")]

    def ways_on(self, request: HttpRequest, operation: CatchUp) -> list[WayOn]:
        return [WayOn("Open the duplication", duplication_url(operation.duplication_id))]

    def empty_text(self) -> str:
        return "No copy has caught up with its original yet. A copy's own page offers it."
