"""What can go wrong with content, told so that its author can act on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from content.links import is_key

PathStep = str | int


class Mistake(NamedTuple):
    """One thing wrong with a document: where, and what is expected there."""

    path: tuple[PathStep, ...]
    message: str

    @property
    def json_path(self) -> str:
        """`$.parts[0].items[2].blocks[1].field_2`"""
        return "$" + "".join(_step(step) for step in self.path)

    def __str__(self) -> str:
        return f"{self.json_path}: {self.message}"


def _step(step: PathStep) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if is_key(step) else f"[{step!r}]"


class InvalidDocument(Exception):
    """A document that can't be imported. Nothing of it was.

    `mistakes` holds every mistake that was found, in the document's order, up to
    `MAX_MISTAKES`; `is_complete` is false where the search stopped there.
    """

    MAX_MISTAKES = 20

    def __init__(self, mistakes: Sequence[Mistake], *, is_complete: bool = True) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))
        self.mistakes = tuple(mistakes)
        self.is_complete = is_complete


class EpisodeClosed(Exception):
    """A copy in the making, or one that is being removed, was to be written to. The message says
    which of the two, and of which episode."""


class EpisodeChanged(Exception):
    """The tree was changed while it was read, by its reader's own doing: read it again."""
