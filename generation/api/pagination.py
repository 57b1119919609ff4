from __future__ import annotations

from operations.api.pagination import ByNumberPagination


class SegmentPagination(ByNumberPagination):
    """A generation's segments, in the order they are heard."""

    ordering = "number"
    page_size = 200
    max_page_size = 1_000
