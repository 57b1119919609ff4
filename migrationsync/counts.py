"""What became of records, in words: a run's counts as pages and events tell them."""

from __future__ import annotations

from collections.abc import Mapping

from migrationsync.resolving.rules import Action
from operations.stages import label

# Where a count's name alone says something else, or less, than it counts.
_WORDS: Mapping[str, str] = {
    "deleted": "left out as deleted",  # by a load: the source has marked them so
    Action.LOAD: "brought over",
    Action.OVERWRITE: "overwritten in the target",
    Action.RECREATE: "brought back to the target",
    Action.DELETE_TARGET: "deleted from the target",
    Action.RETURN: "written back to the source",
    Action.RETURN_NEW: "added to the source",
    Action.DELETE_SOURCE: "deleted from the source",
    Action.ACCEPT: "accepted as they are",
    Action.FORGET: "forgotten, as gone from both",
    Action.REVIEW: "left to a person",
    Action.SKIP: "left as they are",
}


def named(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Those that aren't nothing, each with its word."""
    return [
        (_WORDS.get(name, label(name).lower()), number) for name, number in counts.items() if number
    ]


def in_words(counts: Mapping[str, int]) -> str:
    """“1,200 inserted, 3 quarantined”."""
    return ", ".join(f"{number:,} {word}" for word, number in named(counts)) or "nothing to do"
