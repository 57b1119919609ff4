"""The writes of the content tree. Admin, API and commands make theirs through here."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from django.db import transaction

from content.deletion import delete_subtrees
from content.documents.importing import write_document
from content.documents.validation import validate_document
from content.models import Episode, Node
from content.writing import lock_for_writing

if TYPE_CHECKING:
    from django.contrib.auth.models import User

# What a person may set: the others belong to a copy that is being made or removed.
SELECTABLE_STATUSES: list[tuple[str, str]] = [
    (status.value, str(status.label)) for status in Episode.Status if status not in Episode.HIDDEN
]


def import_episode(*, document: object, owner: User | None) -> Episode:
    """The new episode that `document` (parsed JSON) describes, in one transaction.

    Raises InvalidDocument with every mistake; nothing is imported then. Each call makes
    an episode of its own.
    """
    return write_document(validate_document(document), owner=owner)


def update_episode(*, episode: Episode, changes: dict[str, Any]) -> None:
    """Write `changes` (valid values by field) and nothing else of the row. Raises EpisodeClosed
    where the episode has been hidden since it was read."""
    with transaction.atomic():
        lock_for_writing(Episode, episode.pk)
        for field, value in changes.items():
            setattr(episode, field, value)
        episode.save(update_fields=[*changes, "updated_at"])


def delete_episode(*, episode: Episode) -> None:
    """Delete the episode with its whole tree, as one transaction."""
    delete_subtrees(Episode, [episode.pk])


def delete_nodes(*, model: type[Node], ids: Collection[int]) -> None:
    """Delete these episodes, parts, items or blocks with all that is below, as one transaction."""
    delete_subtrees(model, ids)
