"""Pages of an operation's events."""

from __future__ import annotations

import re

from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

# Eighteen digits always fit a bigint.
_INTEGER = re.compile(r"[0-9]{1,18}")


class ByNumberPagination(CursorPagination):
    """Along one whole number that an index is ordered by; names it as `ordering`."""

    page_size_query_param = "page_size"

    def decode_cursor(self, request: Request) -> Cursor | None:
        cursor = super().decode_cursor(request)
        # DRF would hand whatever stands there to the database.
        if cursor and cursor.position is not None and not is_number(cursor.position):
            raise NotFound(self.invalid_cursor_message)
        return cursor


class EventPagination(ByNumberPagination):
    ordering = "sequence"
    page_size = 200
    max_page_size = 1_000


def is_number(text: object) -> bool:
    return _INTEGER.fullmatch(str(text)) is not None
