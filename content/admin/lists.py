"""Lists of tables that are too large to count, and of rows that are looked at only."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import ModelAdmin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

from content.admin.pagination import BoundedPaginator
from content.links import as_id


class BoundedList:
    """Mixed into a ModelAdmin: its list is counted up to a bound only."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_per_page: ClassVar[int] = 50

    def get_paginator(
        self, request: HttpRequest, queryset: QuerySet[Any], per_page: int, *args: Any, **kw: Any
    ) -> Paginator:
        page = as_id(request.GET.get("p", "1")) or 1
        return BoundedPaginator(
            queryset, per_page, page=page, count_order=self.count_order(request)
        )

    def count_order(self, request: HttpRequest) -> tuple[str, ...]:
        """An order that an index gives to the rows, or none."""
        return ()


class ReadOnlyAdmin(BoundedList, ModelAdmin):
    """Looked at only; what changes something is an action that goes through a service."""

    sortable_by: ClassVar[Any] = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
