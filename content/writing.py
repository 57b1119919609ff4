"""What is written where: an episode that is hidden is closed.

A copy in the making is proved to be what was copied, and one that is being removed goes with
all that is in it: nobody may put rows into either, nor take some out.
"""

from __future__ import annotations

import itertools

from django.db import connection

from content.exceptions import EpisodeClosed
from content.models import Episode, Node
from content.tree import PARENT_FIELDS, TREE

_WHY = {
    Episode.Status.COPYING: "is a copy in the making",
    Episode.Status.REMOVING: "is being removed",
}


def lock_for_writing(model: type[Node], id: int) -> int | None:
    """Hold the episode that the row `id` of `model` is, or is in, to the end of the transaction:
    nobody hides it meanwhile. Others write to its rows all the same.

    Answers the episode's id, None if there is no such row. Raises EpisodeClosed if it is hidden.
    """
    tables = TREE[: TREE.index(model) + 1]
    joins = " ".join(
        f"JOIN {below._meta.db_table} ON {below._meta.db_table}.{PARENT_FIELDS[below]}_id"
        f" = {above._meta.db_table}.id"
        for above, below in itertools.pairwise(tables)
    )
    # Two who hold the row they are both about to write would wait for each other for ever.
    strength = "NO KEY UPDATE" if model is Episode else "SHARE"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT episodes.id, episodes.status FROM episodes {joins}"  # noqa: S608 - a model's
            f" WHERE {model._meta.db_table}.id = %s FOR {strength} OF episodes",
            [id],
        )
        found = cursor.fetchone()
    if found is None:
        return None
    episode_id, status = found
    if status in Episode.HIDDEN:
        raise EpisodeClosed(f"Episode {episode_id} {_WHY[status]}: nothing in it can be changed.")
    return int(episode_id)
