"""What other apps show beside an episode where episodes are listed.

An app registers an `Addition` in its `AppConfig.ready`; whoever lists episodes asks for all of
them at once and includes each template, which finds its content as `addition`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from content.models import Episode


class Addition(NamedTuple):
    """`contents` answers for many episodes in a fixed number of queries, by episode id; an
    episode that it doesn't answer for gets nothing."""

    template: str
    contents: Callable[[Sequence[Episode], Any], Mapping[int, Any]]


class Shown(NamedTuple):
    template: str
    content: Any


_additions: list[Addition] = []


def register(addition: Addition) -> None:
    _additions.append(addition)


def shown_with(episodes: Sequence[Episode], user: Any) -> dict[int, list[Shown]]:
    """What `user` is shown beside each of `episodes`."""
    shown: dict[int, list[Shown]] = {episode.pk: [] for episode in episodes}
    for addition in _additions:
        for episode_id, content in addition.contents(episodes, user).items():
            shown[episode_id].append(Shown(addition.template, content))
    return shown
