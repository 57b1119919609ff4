"""Reads over the content tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from content.models import Episode  # noqa: F401 - named in a string below


class EpisodeQuerySet(models.QuerySet["Episode"]):
    def visible(self) -> EpisodeQuerySet:
        """Without copies in the making or being removed: a copy exists for its users once it
        is verified, and for as long as it is whole."""
        return self.exclude(status__in=self.model.HIDDEN)

    def viewable_by(self, user: Any) -> EpisodeQuerySet:
        """Visible episodes that `user` owns, or all of them with the view permission."""
        if not user.is_authenticated:
            return self.none()
        if user.has_perm("content.view_episode"):
            return self.visible()
        return self.visible().filter(Q(owner=user))
