"""Pages of lists."""

from __future__ import annotations

from content.api.pagination import ByIdPagination


class NewestFirstPagination(ByIdPagination):
    """Pages stay stable while rows are added, and cost the same however deep they are."""

    ordering = "-id"
