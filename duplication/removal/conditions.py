"""When a copy may be taken away, and what a person is told when it may not."""

from __future__ import annotations

from typing import NamedTuple

from content.models import Episode
from duplication.levels import EPISODE
from duplication.models import Duplication, IdMap, MediaFile, Removal

# Files that may lie in storage; one that is pending may have been copied before a crash.
FILES_TO_REMOVE = (MediaFile.Status.COPIED, MediaFile.Status.PENDING)


MAX_NAMED = 20


class Obstacle(NamedTuple):
    """Why not, with a way on."""

    code: str
    message: str


def obstacle(duplication: Duplication) -> Obstacle | None:
    """What forbids it whoever asks, from a few rows. Certain only while the rows of the
    duplication and of its copy are locked: then nobody can start to copy or to change it."""
    if duplication.is_active:
        return Obstacle(
            "still_active",
            f"{duplication} is still under way: cancel it, and what was made is taken away.",
        )
    if duplication.removed_at:
        return Obstacle("already_removed", "The copy was removed already: nothing is left of it.")
    if duplication.deletion_began_at:
        return None
    copy = duplication.new_episode_id
    if copy is None:
        if duplication.media_files.filter(status__in=FILES_TO_REMOVE).exists():
            return None
        return Obstacle(
            "no_copy", "There is no copy: none was made, or it was deleted. Nothing is left to do."
        )
    if not has_id_map(duplication):
        return Obstacle(
            "id_map_pruned",
            "Which rows belong to the copy was recorded too long ago and is no longer kept: "
            f"delete episode {copy} instead.",
        )
    return _in_use(duplication, copy)


def _in_use(duplication: Duplication, copy: int) -> Obstacle | None:
    active = [Duplication.Status[name] for name in Duplication.ACTIVE]
    if further := Duplication.objects.filter(episode=copy, status__in=active).first():
        return Obstacle(
            "being_duplicated",
            f"The copy, episode {copy}, is being duplicated itself: wait for duplication "
            f"{further.pk} to end, or cancel it.",
        )
    if catch_up := duplication.catch_ups.filter(status__in=active).first():
        return Obstacle(
            "catching_up",
            f"The copy is being brought up to date: wait for catch-up {catch_up.pk} to end, or "
            "cancel it.",
        )
    return None


def duplicated_since(duplication: Duplication) -> Obstacle | None:
    """Whether somebody made a copy of the copy, and what may be done about it."""
    if duplication.new_episode_id is None:
        return None
    further = Duplication.objects.filter(
        episode=duplication.new_episode_id,
        status=Duplication.Status.COMPLETED,
        removed_at__isnull=True,
    ).values_list("pk", flat=True)[:MAX_NAMED]
    if not further:
        return None
    return Obstacle(
        "duplicated_since",
        f"The copy, episode {duplication.new_episode_id}, was duplicated itself since "
        f"(duplication {', '.join(map(str, further))}). Keep it, or remove it even so "
        "(even_if_changed): those copies stay.",
    )


def has_id_map(duplication: Duplication) -> bool:
    """Pruning takes the episode's own pair first: without it the map is not whole."""
    return IdMap.objects.filter(duplication=duplication, type=EPISODE.node).exists()


def is_undo(duplication: Duplication) -> bool:
    """Whether a whole copy would be taken away, in which somebody may have worked."""
    return duplication.has_status("COMPLETED") and duplication.deletion_began_at is None


def is_forced(duplication: Duplication) -> bool:
    """Whether somebody has said that changes go with the copy: in the removal that is under way,
    or in one that was cancelled after its deletion had begun."""
    return duplication.removals.filter(even_if_changed=True).exists()


def is_in_use(duplication: Duplication) -> bool:
    """Whether a removal or a catch-up works on the copy right now."""
    active = [Duplication.Status[name] for name in Duplication.ACTIVE]
    return (
        active_removal(duplication) is not None
        or duplication.catch_ups.filter(status__in=active).exists()
    )


def active_removal(duplication: Duplication) -> Removal | None:
    active = [Removal.Status[name] for name in Removal.ACTIVE]
    return duplication.removals.filter(status__in=active).first()


def why_not_retried(duplication: Duplication) -> str:
    """Why a failed duplication can't go on, as far as removals are concerned; '': it can."""
    if duplication.deletion_began_at:
        return "Its copy was taken away, wholly or in part: start a new duplication."
    if removal := active_removal(duplication):
        return (
            f"Its copy is being taken away (removal {removal.pk}): cancel that, or start a new "
            "duplication."
        )
    removing = Episode.objects.filter(pk=duplication.org_episode_id, status=Episode.Status.REMOVING)
    if removing.exists():
        return (
            f"The original, episode {duplication.org_episode_id}, is being taken away: cancel "
            "that first if it is still wanted."
        )
    return ""
