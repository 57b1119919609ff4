"""What a preview finds: plain values, the same for page, API and terminal."""

from __future__ import annotations

from dataclasses import dataclass

from duplication.preview.counting import Count, LevelCount
from duplication.preview.links import Links
from duplication.preview.media import Media
from duplication.preview.rates import Expected
from duplication.preview.resets import Reset


@dataclass(frozen=True)
class Active:
    """A copy of the episode that is being made now. `duplication`: its id, if the user may
    see it."""

    duplication: int | None


@dataclass(frozen=True)
class Waiting:
    reason: str
    seconds: float


@dataclass(frozen=True)
class Brief:
    """The part of a preview that a list of episodes has room for."""

    levels: tuple[LevelCount, ...]
    media: Media
    links: Links

    @property
    def rows(self) -> Count:
        return sum((level.rows for level in self.levels), Count())

    @property
    def leaving(self) -> Count:
        """The links that stay as they are."""
        return self.links.external + self.links.unresolved

    @property
    def was_reached(self) -> bool:
        """Whether there was time for anything below the root."""
        return self.rows.exact or self.rows.number > 1


@dataclass(frozen=True)
class Preview(Brief):
    """`expected` is with the media strategy that was asked for. `missing_permissions` and
    `active` are what would keep it from being started now, `waiting` what would hold it up."""

    episode: int
    expected: Expected
    media_strategy: str
    lanes: int
    resets: tuple[Reset, ...]
    missing_permissions: tuple[str, ...]
    active: Active | None
    waiting: Waiting | None
