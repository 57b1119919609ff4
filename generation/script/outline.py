"""What an episode's audio is about: chapters with their topics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Chapter:
    """One part of the episode, as the listener hears of it."""

    part_id: int
    title: str
    topics: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {"part_id": self.part_id, "title": self.title, "topics": list(self.topics)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Chapter:
        return cls(data["part_id"], data["title"], tuple(data["topics"]))


@dataclass(frozen=True)
class Outline:
    title: str
    chapters: tuple[Chapter, ...]

    def chapter_of(self, part_id: int) -> int:
        """The index of a part's chapter. Raises KeyError if there is none."""
        for index, chapter in enumerate(self.chapters):
            if chapter.part_id == part_id:
                return index
        raise KeyError(part_id)

    def as_json(self) -> dict[str, Any]:
        return {"title": self.title, "chapters": [each.as_json() for each in self.chapters]}

    @classmethod
    def from_json(cls, data: Any) -> Outline:
        return cls(data["title"], tuple(map(Chapter.from_json, data["chapters"])))
