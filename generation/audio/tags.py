"""What an MP3 says about itself: its title and its chapters, as ID3 frames (CTOC and CHAP)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mutagen.id3 import CHAP, CTOC, ID3, TIT2, TLEN, CTOCFlags, Encoding

# A table of contents counts its entries in one byte.
MOST_ENTRIES = 255
NO_OFFSET = 0xFFFFFFFF  # a chapter's place is given in milliseconds, not in bytes
# The version every player reads; 2.4 is newer and less common.
ID3_VERSION = 3


@dataclass(frozen=True)
class Chapter:
    title: str
    start_ms: int
    end_ms: int


def write_tags(path: Path, *, title: str, duration_ms: int, chapters: Sequence[Chapter]) -> None:
    """Put title, duration and chapters before the sound, replacing all tags the file has.

    Changes the file in place, in constant memory. Not atomic. Writing the same again gives the
    same bytes.
    """
    tags = ID3()
    tags.add(TIT2(encoding=Encoding.UTF16, text=[title]))
    tags.add(TLEN(encoding=Encoding.LATIN1, text=[str(duration_ms)]))
    names = [f"chapter{number}" for number in range(1, len(chapters) + 1)]
    for name, chapter in zip(names, chapters, strict=True):
        tags.add(
            CHAP(
                element_id=name,
                start_time=chapter.start_ms,
                end_time=chapter.end_ms,
                start_offset=NO_OFFSET,
                end_offset=NO_OFFSET,
                sub_frames=[TIT2(encoding=Encoding.UTF16, text=[chapter.title])],
            )
        )
    for contents in _contents(names):
        tags.add(contents)
    # Exactly as long as they are: the padding mutagen would leave depends on the old tags.
    tags.save(path, v1=0, v2_version=ID3_VERSION, padding=lambda info: 0)


def _contents(names: list[str]) -> list[CTOC]:
    """The table of contents; one of tables where there are too many chapters for one."""
    if not names:
        return []
    groups = [names[at : at + MOST_ENTRIES] for at in range(0, len(names), MOST_ENTRIES)]
    if len(groups) == 1:
        return [_table("contents", names, CTOCFlags.TOP_LEVEL | CTOCFlags.ORDERED)]
    tables = {f"contents{number}": group for number, group in enumerate(groups, start=1)}
    return [
        _table("contents", list(tables), CTOCFlags.TOP_LEVEL | CTOCFlags.ORDERED),
        *(_table(name, group, CTOCFlags.ORDERED) for name, group in tables.items()),
    ]


def _table(name: str, entries: list[str], flags: int) -> CTOC:
    return CTOC(element_id=name, flags=flags, child_element_ids=entries, sub_frames=[])
