"""Who may duplicate what: the model's permission, and the episode one's own to change."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied

from content.models import Episode
from content.permissions import can_change_episode

ADD = "duplication.add_duplication"


def check_may_duplicate(user: Any, episode: Episode) -> None:
    """Raises PermissionDenied with what is missing."""
    if not user.has_perm(ADD):
        raise PermissionDenied(
            "You may not duplicate episodes: ask an administrator for the permission "
            f"“Can add duplication” ({ADD})."
        )
    if not can_change_episode(user, episode):
        raise PermissionDenied(
            f"Episode {episode.pk} belongs to somebody else: its owner, or somebody with the "
            "permission to change any episode, can duplicate it."
        )
