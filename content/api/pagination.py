"""Pages of the tree's nodes."""

from __future__ import annotations

from rest_framework.pagination import CursorPagination


class ByIdPagination(CursorPagination):
    """By id, which the index on (parent, id) serves however many siblings there are.

    A page's rows say their position; an import and a copy give ids in that order.
    """

    ordering = "id"
    page_size_query_param = "page_size"
    max_page_size = 500
