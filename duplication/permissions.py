"""Who may duplicate what: the model's permission, and the episode one's own to change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import PermissionDenied

from content.models import Episode
from content.permissions import can_change_episode, can_delete_episode
from duplication.models import Duplication

ADD = "duplication.add_duplication"
DELETE = "content.delete_episode"


def check_may_duplicate(user: Any, episode: Episode) -> None:
    """Raises PermissionDenied with what is missing."""
    for missing in missing_permissions(user, episode):
        raise PermissionDenied(missing)


def missing_permissions(user: Any, episode: Episode) -> Iterator[str]:
    """What keeps `user` from duplicating the episode, each with who can help."""
    if not user.has_perm(ADD):
        yield (
            "You may not duplicate episodes: ask an administrator for the permission "
            f"“Can add duplication” ({ADD})."
        )
    if not can_change_episode(user, episode):
        yield (
            f"Episode {episode.pk} belongs to somebody else: its owner, or somebody with the "
            "permission to change any episode, can duplicate it."
        )


def check_may_remove(user: Any, duplication: Duplication) -> None:
    """Raises PermissionDenied with what is missing. Whoever asked for a copy, or may change any
    duplication, takes it away if the copy is theirs to delete; a hidden one (in the making, or
    partly removed) nobody sees, but it is its owner's all the same."""
    if not duplication.may_be_controlled_by(user):
        raise PermissionDenied(
            f"{duplication} is somebody else's: only they, or somebody with the permission to "
            "change any duplication, can remove its copy."
        )
    copy = duplication.new_episode
    if copy and not _may_delete(user, copy):
        raise PermissionDenied(
            f"Episode {copy.pk}, the copy, belongs to somebody else: its owner, or somebody with "
            f"the permission “Can delete episode” ({DELETE}), can remove it."
        )


def _may_delete(user: Any, copy: Episode) -> bool:
    if copy.status in Episode.HIDDEN:
        return copy.owner_id == user.pk or user.has_perm(DELETE)
    return can_delete_episode(user, copy)
