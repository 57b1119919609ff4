"""What the lists and pages of duplications, removals and catch-ups share."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from content.admin.lists import BoundedList
from duplication.admin.starting import may_duplicate
from operations.admin import OperationAdmin


class CopyOperationAdmin(BoundedList, OperationAdmin):
    """Who may duplicate has a list: their own."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if super().has_view_permission(request, obj):
            return True
        return obj is None and may_duplicate(request)


def episode_url(episode_id: object) -> str:
    return reverse("admin:content_episode_change", args=[episode_id])


def duplication_url(duplication_id: object) -> str:
    return reverse("admin:duplication_duplication_change", args=[duplication_id])
