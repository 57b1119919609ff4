"""Pages over tables that are too large to count."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.core.paginator import Page, Paginator
from django.db import connection
from django.db.models import IntegerField, QuerySet, Subquery

COUNT_LIMIT = 1_000
# How far down a filtered list can be paged, in rows: a page costs as much as all before it.
DEEPEST_ROW = 100_000


def bounded(count: int, limit: int = COUNT_LIMIT) -> str:
    """`37`, or `1,000+` for a count that stopped past its limit."""
    return f"{limit:,}+" if count > limit else f"{count:,}"


class BoundedCount(Subquery):
    """Counts a subquery's rows. Slice the queryset to bound the work."""

    template = "(SELECT count(*) FROM (%(subquery)s) AS bounded)"
    output_field = IntegerField()


class BoundedPaginator(Paginator):
    """Exact up to a limit; past it, the planner's estimate or "at least so many".

    A list without a filter is estimated from the table's statistics. A filtered one is
    counted as far as `page` and some pages more, so that there is always a next one.
    """

    object_list: QuerySet[Any]

    def __init__(
        self, queryset: QuerySet[Any], per_page: int, *, page: int, count_order: tuple[str, ...]
    ) -> None:
        """`count_order` is an order that an index gives to these rows, or none."""
        super().__init__(queryset, per_page)
        self._count_order = count_order
        ahead = page * per_page + COUNT_LIMIT
        self._limit = COUNT_LIMIT if page <= 1 else min(ahead, DEEPEST_ROW)

    @cached_property
    def count(self) -> int:
        if not self._is_past_limit:
            return self._counted
        return self._limit if self._is_filtered else max(self._estimate(), self._limit)

    def page(self, number: int | str) -> Page:
        """The rows of a page are found by their ids first: stepping over the pages before
        it, or sorting them, then takes narrow rows without their texts and parents.
        """
        number = self.validate_number(number)
        start = (number - 1) * self.per_page
        ids = list(self.object_list.values_list("pk", flat=True)[start : start + self.per_page])
        return Page(self.object_list.filter(pk__in=ids), number, self)

    @property
    def count_text(self) -> str:
        if not self._is_past_limit:
            return f"{self.count:,}"
        return f"{self.count:,}+" if self._is_filtered else f"about {self.count:,}"

    @cached_property
    def _counted(self) -> int:
        rows = self.object_list.order_by(*self._count_order)
        return rows.values("pk")[: self._limit + 1].count()

    @property
    def _is_past_limit(self) -> bool:
        return self._counted > self._limit

    @property
    def _is_filtered(self) -> bool:
        return bool(self.object_list.query.where)

    def _estimate(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass",
                [self.object_list.model._meta.db_table],
            )
            (estimate,) = cursor.fetchone()
        return int(estimate)
