"""Who may have audio made of what, and who may hear it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import PermissionDenied

from content.models import Episode
from content.permissions import can_change_episode, can_view_episode

ADD = "generation.add_generationjob"


def check_may_generate(user: Any, episode: Episode) -> None:
    """Raises PermissionDenied with what is missing."""
    for missing in missing_permissions(user, episode):
        raise PermissionDenied(missing)


def missing_permissions(user: Any, episode: Episode) -> Iterator[str]:
    """What keeps `user` from generating the episode's audio, each with who can help."""
    if not user.has_perm(ADD):
        yield (
            "You may not generate audio: ask an administrator for the permission "
            f"“Can add generation” ({ADD})."
        )
    if not can_change_episode(user, episode):
        yield (
            f"Episode {episode.pk} belongs to somebody else: its owner, or somebody with the "
            "permission to change any episode, can generate its audio."
        )


def may_hear(user: Any, episode: Episode) -> bool:
    """A published episode is everybody's to hear; others are heard by who may see them."""
    return episode.status == Episode.Status.PUBLISHED or can_view_episode(user, episode)
