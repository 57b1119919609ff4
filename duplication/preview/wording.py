"""A preview in words, for pages and terminals: a few lines for each thing it tells of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from django.template.defaultfilters import filesizeformat

from duplication.levels import TREE
from duplication.models import Duplication
from duplication.preview.counting import Count, LevelCount
from duplication.preview.found import Active, Brief
from duplication.preview.links import LeavingLink, Links
from duplication.preview.media import MAX_EXAMPLES, Media
from duplication.preview.rates import Expected
from duplication.preview.resets import Reset
from operations.watching import duration


class Line(NamedTuple):
    """One of several previews, or all of them together."""

    levels: Sequence[LevelCount]
    media: Sequence[str]
    leaving: Count
    times: Sequence[str]


Times = Mapping[str, Expected]


def line(found: Brief, expected: Times) -> Line:
    return Line(found.levels, media(found.media), found.leaving, times(found, expected))


def total(found: Sequence[Brief], expected: Sequence[Times]) -> Line:
    """The files and bytes that two of them share are counted for each."""
    levels = [
        LevelCount(of_level[0].stage, sum((each.rows for each in of_level), Count()))
        for of_level in zip(*(brief.levels for brief in found), strict=True)
    ]
    files = Media(
        files=sum((brief.media.files for brief in found), Count()),
        bytes=sum((brief.media.bytes for brief in found), Count()),
        missing=sum((brief.media.missing for brief in found), Count()),
        missing_examples=tuple(name for brief in found for name in brief.media.missing_examples)[
            :MAX_EXAMPLES
        ],
        unreadable=sum(brief.media.unreadable for brief in found),
        error=next((brief.media.error for brief in found if brief.media.error), ""),
    )
    leaving = sum((brief.leaving for brief in found), Count())
    together = {
        strategy: _together([each[strategy] for each in expected])
        for strategy in Duplication.MediaStrategy.values
    }
    return Line(levels, media(files), leaving, _times(together, files))


def times(found: Brief, expected: Times) -> list[str]:
    """What it takes, however the form's choice of media falls; once where there are no files."""
    return _times({name: each.text for name, each in expected.items()}, found.media)


def _times(texts: Mapping[str, str], found: Media) -> list[str]:
    shared = texts[Duplication.MediaStrategy.SHARE]
    if found.files.is_none:
        return [_sentence(shared)]
    copied = texts[Duplication.MediaStrategy.COPY]
    return [
        f"With the original's files: {_within(shared)}",
        f"With files of its own: {_within(copied)}",
    ]


def _together(expected: Sequence[Expected]) -> str:
    seconds = [each.seconds for each in expected if each.seconds is not None]
    if len(seconds) < len(expected):
        return "not known of all of them"
    how = "about" if all(each.exact for each in expected) else "more than"
    return f"{how} {duration(sum(seconds))}, one after the other"


def media(found: Media) -> list[str]:
    if found.files.is_none:
        return ["None"]
    if not found.files.number:
        return ["Not counted in the time there was."]
    lines = [f"{_sentence(found.files)} {_plural(found.files, 'file')}, {_size(found.bytes)}"]
    if found.missing.number:
        names = ", ".join(found.missing_examples)
        more = ", …" if found.missing.number > len(found.missing_examples) else ""
        lines.append(f"{_sentence(found.missing)} not in storage: {names}{more}")
    if found.unreadable:
        lines.append(f"{found.unreadable:,} with a size that can't be read: {found.error}")
    return lines


def links(found: Links) -> list[str]:
    lines = [
        f"{_sentence(count)} {where}"
        for count, where in (
            (found.inside, "into this tree: will point into the copy"),
            (found.external, "to other episodes: stay as they are"),
            (found.unresolved, "to nothing: stay as they are"),
        )
        if count.number
    ]
    if not found.inside.exact:
        lines.append("Not all texts could be read in the time there was.")
    return lines or ["None"]


def leaving_link(link: LeavingLink) -> str:
    to = "nothing" if link.episode is None else f"episode {link.episode}"
    return f"{link.type} {link.id}, {link.field}: {link.target} ({to})"


def resets(found: tuple[Reset, ...]) -> list[str]:
    """A line for what has the same value at the same levels, in the order of the first."""
    fields: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for reset in found:
        fields.setdefault((reset.value, reset.levels), []).append(reset.field)
    return [
        f"{_sentence(', '.join(names))}: {value}{_at(levels)}"
        for (value, levels), names in fields.items()
    ]


def active(found: Active) -> str:
    if found.duplication is None:
        return "A copy of this episode is being made for somebody else."
    return f"Duplication {found.duplication} is making a copy of this episode."


def _at(levels: tuple[str, ...]) -> str:
    if len(levels) == 1:
        return ""
    if len(levels) == len(TREE):
        return ", at every level"
    return f" ({', '.join(levels)})"


def _size(count: Count) -> str:
    if not count.exact and not count.number:
        return "size not read"
    size = filesizeformat(count.number)
    return size if count.exact else f"at least {size}"


def _plural(count: Count, noun: str) -> str:
    return noun if count.number == 1 else f"{noun}s"


def _within(text: str) -> str:
    return text[:1].lower() + text[1:]


def _sentence(words: object) -> str:
    text = str(words)
    return text[:1].upper() + text[1:]
