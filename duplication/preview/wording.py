"""A preview in words, for pages and terminals: a few lines for each thing it tells of."""

from __future__ import annotations

from django.template.defaultfilters import filesizeformat

from duplication.levels import TREE
from duplication.preview.counting import Count
from duplication.preview.found import Active
from duplication.preview.links import LeavingLink, Links
from duplication.preview.media import Media
from duplication.preview.resets import Reset


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


def _sentence(words: object) -> str:
    text = str(words)
    return text[:1].upper() + text[1:]
