"""Pages of lists."""

from __future__ import annotations

from uuid import UUID

from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

from operations.api.pagination import ByNumberPagination


class NewestFirstPagination(CursorPagination):
    """By id: UUIDs of version 7 are in the order of time."""

    ordering = "-id"
    page_size_query_param = "page_size"
    max_page_size = 500

    def decode_cursor(self, request: Request) -> Cursor | None:
        cursor = super().decode_cursor(request)
        if cursor and cursor.position is not None:
            # DRF would hand whatever stands there to the database.
            try:
                UUID(str(cursor.position))
            except ValueError as error:
                raise NotFound(self.invalid_cursor_message) from error
        return cursor


class ByIdPagination(ByNumberPagination):
    """Records of a differential, and quarantined rows, in the order they were found."""

    ordering = "id"
    page_size = 200
    max_page_size = 1_000
