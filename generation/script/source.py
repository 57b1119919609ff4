"""What an episode says: its blocks' words, in the order they are shown.

Owns which blocks carry speech. Doesn't choose or rewrite: that is a text provider's.
A copy has the same passages as its original but for their ids: nothing here puts an id or
the episode's title into a text, so that a copy's audio is in the cache.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Any

from django.db.models import QuerySet

from content.links import LINK_MARK, LINK_PATTERN, as_id, linked_ids
from content.models import Block, Episode, Item, Part
from generation.script.markup import clean, read_words
from generation.script.sentences import sentences
from operations.exceptions import WorkFailed

_PAGE = 500
# About ninety hours of speech, and as many blocks as one process may well hold.
MAX_CHARS = 5_000_000
MAX_BLOCKS = 200_000

NO_WORDS = "It has no words."
ONLY_MEDIA = "It has no words, only a file."
FORM = "It is a form to fill in on the screen."
# A block's first field may name its kind. These are worked with or watched, not read aloud;
# a kind that isn't named here is judged by its words.
SILENT_KINDS = {
    **dict.fromkeys(("survey", "poll", "done"), "It is a survey, not something to listen to."),
    **dict.fromkeys(
        ("problem", "quiz", "drag-and-drop-v2", "openassessment", "edx_sga", "staffgradedxblock"),
        "It is an exercise to do on the screen.",
    ),
    **dict.fromkeys(("video", "audio", "image"), "It is a recording or a picture itself."),
    "discussion": "It is a place to write in, not something to listen to.",
    "lti": "It is another site's tool.",
    "library_content": "It picks exercises for each learner.",
}
# Markers of a text's format: the words are in the other fields.
_SPOKEN_KINDS = frozenset({"html", "text", "markdown", "annotatable", "reading"})
_LINK = re.compile(LINK_PATTERN)
_SPACE_BEFORE_MARK = re.compile(r"\s+(?=[.,;:!?)])")
# A question beside buttons: "Do you find this page useful?"
_LABEL_SENTENCES = 2


class SourceTooLong(WorkFailed):
    """The episode has more than one audio file could hold."""

    code = "source_too_long"


@dataclass(frozen=True)
class Passage:
    """One block's words: paragraphs on lines of their own."""

    block_id: int
    part_id: int
    part_title: str
    item_id: int
    item_title: str
    text: str


@dataclass(frozen=True)
class LeftOut:
    block_id: int
    reason: str

    def as_json(self) -> dict[str, Any]:
        return {"block_id": self.block_id, "reason": self.reason}


@dataclass(frozen=True)
class Source:
    title: str
    type: str
    passages: tuple[Passage, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def chars(self) -> int:
        return sum(len(passage.text) for passage in self.passages)

    def by_part(self) -> list[Source]:
        """The same, a source for each part's passages, without what was left out."""
        return [
            self.narrowed(passages)
            for _, passages in groupby(self.passages, key=lambda each: each.part_id)
        ]

    def narrowed(self, passages: Iterable[Passage]) -> Source:
        return replace(self, passages=tuple(passages), left_out=())


@dataclass(frozen=True)
class _Row:
    """A block with what stands above it; ordinals count from 1."""

    block_id: int
    part_id: int
    part_title: str
    item_id: int
    item_title: str
    fields: tuple[str | None, ...]
    has_media: bool


def read_source(episode: Episode) -> Source:
    """The words of `episode`, read in pages of 500 blocks.

    A link in a sentence becomes its target's name, where that is in the same episode.
    Raises SourceTooLong past MAX_CHARS characters or MAX_BLOCKS blocks.
    """
    passages: list[Passage] = []
    left_out: list[LeftOut] = []
    chars = 0
    rows = _rows(episode)
    while page := list(islice(rows, _PAGE)):
        names = _LinkedNames(episode, page)
        for row in page:
            words, reason = _spoken(row, names)
            if reason:
                left_out.append(LeftOut(row.block_id, reason))
                continue
            chars += len(words)
            passages.append(
                Passage(
                    block_id=row.block_id,
                    part_id=row.part_id,
                    part_title=clean(names.put_into(row.part_title)),
                    item_id=row.item_id,
                    item_title=clean(names.put_into(row.item_title)),
                    text=words,
                )
            )
        if chars > MAX_CHARS or len(passages) + len(left_out) > MAX_BLOCKS:
            raise SourceTooLong(
                f"This episode is too long for one audio file: the limits are {MAX_CHARS:,} "
                f"characters and {MAX_BLOCKS:,} blocks. Split it into several episodes."
            )
    return Source(episode.title, episode.type, tuple(passages), tuple(left_out))


def _rows(episode: Episode) -> Iterator[_Row]:
    found = (
        Block.objects.filter(item__part__episode=episode)
        .order_by("item__part__position", "item__part", "item__position", "item", "position", "id")
        .values_list(
            "id",
            "item__part",
            "item__part__name",
            "item",
            "item__name",
            "field_1",
            "field_2",
            "field_3",
            "media",
        )
    )
    ordinal, current = 0, None
    for block, part, part_name, item, item_name, *fields, media in found.iterator(_PAGE):
        if part != current:
            ordinal, current = ordinal + 1, part
        yield _Row(
            block_id=block,
            part_id=part,
            part_title=part_name or f"Part {ordinal}",
            item_id=item,
            item_title=item_name or "",
            fields=tuple(fields),
            has_media=bool(media),
        )


def _spoken(row: _Row, names: _LinkedNames) -> tuple[str, str]:
    """The words of a block, or why it has none."""
    kind = (row.fields[0] or "").strip()
    if reason := SILENT_KINDS.get(kind):
        return "", reason
    texts = row.fields[1:] if kind in _SPOKEN_KINDS or _is_kind(row) else row.fields
    read = [read_words(text) for text in texts if text and not _is_data(text)]
    # After the markup: a name put into an attribute could break it.
    words = names.put_into("\n".join(found.text for found in read if found.text))
    if not words:
        return "", ONLY_MEDIA if row.has_media else NO_WORDS
    has_controls = any(found.has_controls for found in read)
    if has_controls and len(sentences(words)) <= _LABEL_SENTENCES:
        return "", FORM
    return words, ""


def _is_kind(row: _Row) -> bool:
    """One word in small letters before other fields names a kind we don't know."""
    first, *others = (field or "" for field in row.fields)
    is_name = first.strip().replace("-", "").replace("_", "").isalnum() and first.islower()
    return is_name and any(others)


def _is_data(text: str) -> bool:
    """Settings kept in a field: a JSON object or list."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


class _LinkedNames:
    """The names that a page's links stand for: three queries at most."""

    def __init__(self, episode: Episode, page: list[_Row]) -> None:
        ids: dict[str, set[int]] = {"part": set(), "item": set(), "block": set()}
        for row in page:
            for text in (row.part_title, row.item_title, *row.fields):
                for level, target in linked_ids(text or ""):
                    ids[level].add(target)
        levels: dict[str, QuerySet[Any]] = {
            "part": Part.objects.filter(episode=episode),
            "item": Item.objects.filter(part__episode=episode),
            "block": Block.objects.filter(item__part__episode=episode),
        }
        self._names: dict[tuple[str, int], str] = {
            (level, target): clean(name)
            for level, wanted in ids.items()
            if wanted
            for target, name in levels[level].filter(pk__in=wanted).values_list("pk", "name")
            if name and LINK_MARK not in name
        }

    def put_into(self, text: str) -> str:
        """`text` with its links' words; a line that is nothing but lost links goes."""
        if LINK_MARK not in text:
            return text
        lines = (_SPACE_BEFORE_MARK.sub("", self._spoken(line)) for line in text.split("\n"))
        return "\n".join(line.strip() for line in lines if any(map(str.isalnum, line)))

    def _spoken(self, line: str) -> str:
        return _LINK.sub(lambda link: self._name(link.group(1), link.group(2)), line)

    def _name(self, level: str, written: str) -> str:
        # A full stop at the end is the sentence's: ids have none.
        key = written.rstrip(".")
        target = as_id(key)
        name = self._names.get((level, target), "") if target is not None else ""
        return name + written[len(key) :]
