"""Pages of a duplication's id map."""

from __future__ import annotations

import json
from typing import Any

from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

from duplication.levels import TREE
from operations.api.pagination import ByNumberPagination, is_number


class IdMapPagination(CursorPagination):
    """Along the whole primary key, which is the index that the pages are read from.

    DRF's cursor holds one column, and counts on where that is the same for many rows, but
    never past a thousand: by type alone the pages of a large level would start again.
    """

    ordering = "pk"
    page_size = 500
    page_size_query_param = "page_size"
    max_page_size = 5_000

    def decode_cursor(self, request: Request) -> Cursor | None:
        cursor = super().decode_cursor(request)
        if cursor is None or cursor.position is None:
            return cursor
        try:
            duplication, kind, org_id = json.loads(str(cursor.position))
        except (TypeError, ValueError) as error:
            raise NotFound(self.invalid_cursor_message) from error
        if kind not in _TYPES or not all(_is_id(value) for value in (duplication, org_id)):
            raise NotFound(self.invalid_cursor_message)
        position: Any = (duplication, kind, org_id)
        return Cursor(cursor.offset, cursor.reverse, position)

    def encode_cursor(self, cursor: Cursor) -> str:
        if cursor.position is not None:
            position: Any = json.dumps(cursor.position)
            cursor = Cursor(cursor.offset, cursor.reverse, position)
        return super().encode_cursor(cursor)

    def _get_position_from_instance(self, instance: Any, ordering: Any) -> Any:
        return instance.pk


_TYPES = [level.node for level in TREE]


def _is_id(value: object) -> bool:
    return type(value) is int and is_number(value)


class FindingPagination(ByNumberPagination):
    """What was found out about a copy, in the order it was found."""

    ordering = "id"
    page_size = 200
    max_page_size = 1_000
