"""A script cut into what one call to a speech provider says.

Segments are the unit of the audio cache, so a cut depends on its own turn alone: editing
one turn leaves the segments of all others as they are.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from generation.script.script import Script, Speaker
from generation.script.sentences import sentence_ends

# Behind a clause, where a sentence alone is too long.
_CLAUSE_END = re.compile(r"[,;:)»”–—]+\s+|[、，；：]")  # noqa: RUF001
_WORD_END = re.compile(r"\s+")


@dataclass(frozen=True)
class Segment:
    """`number` counts from 1 over the whole script."""

    number: int
    chapter: int
    speaker: Speaker
    text: str

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "chapter": self.chapter,
            "speaker": self.speaker,
            "text": self.text,
        }


def split(script: Script, max_chars: int) -> list[Segment]:
    """The segments of `script`, each of one turn and of `max_chars` characters at most.

    Cut behind sentences; a sentence that alone is longer, behind clauses; those, between
    words; only a word that alone is longer is cut itself. The segments of a turn, joined,
    are its text with single spaces (cuts in the scripts of East Asia fall between letters,
    and there nothing is put between);
    pieces without a letter or digit are left out.
    """
    if max_chars < 1:
        raise ValueError(f"A segment of {max_chars} characters holds nothing.")
    segments: list[Segment] = []
    for turn in script.turns:
        for piece in pieces(turn.text, max_chars):
            # A dash or dots left alone: a provider would be paid for silence, or refuse.
            if any(map(str.isalnum, piece)):
                segments.append(Segment(len(segments) + 1, turn.chapter, turn.speaker, piece))
    return segments


def pieces(text: str, max_chars: int) -> list[str]:
    """`text` cut as `split` does, without spaces around the pieces, none empty."""
    lines = text.split("\n")
    # Spaces are made single before cutting, so that each length is what is sent. The end of
    # a line stays the end of a sentence.
    text = "\n".join(line for line in (" ".join(line.split()) for line in lines) if line)
    ends = (
        sentence_ends(text),
        [match.end() for match in _CLAUSE_END.finditer(text)],
        [match.end() for match in _WORD_END.finditer(text)],
    )
    return [" ".join(piece.split()) for piece in _cut(text, max_chars, ends)]


def _cut(text: str, max_chars: int, ends: tuple[list[int], ...]) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = _next_end(text, start, max_chars, ends)
        yield text[start:end]
        start = end


def _next_end(text: str, start: int, max_chars: int, ends: tuple[list[int], ...]) -> int:
    # A space behind the last word isn't sent: it may stand past the limit.
    furthest = start + max_chars
    if furthest < len(text) and text[furthest].isspace():
        furthest += 1
    if furthest >= len(text):
        return len(text)
    for level in ends:
        at = bisect_right(level, furthest)
        if at and level[at - 1] > start:
            return level[at - 1]
    return _inside_a_word(text, start, start + max_chars)


def _inside_a_word(text: str, start: int, end: int) -> int:
    """`end`, or before it where a letter would lose its accents or a sign its other half."""
    for at in range(end, start, -1):
        if not (unicodedata.combining(text[at]) or "\u200d" in text[at - 1 : at + 1]):
            return at
    return end
