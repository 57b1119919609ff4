"""Pages of the tree's nodes."""

from __future__ import annotations

import re

from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

# Eighteen digits always fit a bigint.
_ID = re.compile(r"[0-9]{1,18}")


class ByIdPagination(CursorPagination):
    """By id, which the index on (parent, id) serves however many siblings there are.

    A page's rows say their position; an import and a copy give ids in that order.
    """

    ordering = "id"
    page_size_query_param = "page_size"
    max_page_size = 500

    def decode_cursor(self, request: Request) -> Cursor | None:
        cursor = super().decode_cursor(request)
        # DRF would hand whatever stands there to the database.
        if cursor and cursor.position is not None and not _ID.fullmatch(str(cursor.position)):
            raise NotFound(self.invalid_cursor_message)
        return cursor
