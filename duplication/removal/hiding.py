"""While a copy is being taken away nobody sees it, so nobody works in it."""

from __future__ import annotations

from content.models import Episode
from duplication.models import Duplication, Removal


def lock_copy(duplication_id: int) -> Duplication:
    """The duplication as it is now, its row and then its copy's locked to the end of the
    transaction. Nobody can start to duplicate or to catch up the copy meanwhile."""
    duplication = Duplication.objects.select_for_update(no_key=True).get(pk=duplication_id)
    if duplication.new_episode_id:
        copies = Episode.objects.filter(pk=duplication.new_episode_id)
        list(copies.select_for_update(no_key=True))
    return duplication


def hide_copy(removal: Removal, duplication: Duplication) -> None:
    """Hide the copy from everybody and remember what it was. Call it under `lock_copy`."""
    copy = duplication.new_episode
    if copy is None or copy.status == Episode.Status.REMOVING:
        return
    removal.previous_status = copy.status
    removal.save(update_fields=["previous_status", "updated_at"])
    # Not through save(): the copy's own times say whether somebody changed it.
    Episode.objects.filter(pk=copy.pk).update(status=Episode.Status.REMOVING)


def show_copy_again(removal: Removal) -> None:
    """Give the copy back what it was, if nothing of it is gone yet."""
    duplication = removal.duplication
    copy = duplication.new_episode
    if copy and removal.previous_status and not duplication.deletion_began_at:
        hidden = Episode.objects.filter(pk=copy.pk, status=Episode.Status.REMOVING)
        hidden.update(status=removal.previous_status)
