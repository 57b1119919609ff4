"""Links between nodes as they stand in texts: `content:part/…`, `content:item/…` and so on.

Owns the one regular expression for them, which fields may hold them, and pure functions
over texts. In the database the last piece of a link is the target's id; in a document it
is the target's key. Who the target is, and whether it exists, is the caller's knowledge.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

# The part of a database's and a document's link that names the target. Understood alike
# by Python and by PostgreSQL's regular expressions.
KEY_PATTERN = r"[A-Za-z0-9._~-]+"
# A link begins a word: `xcontent:item/1` is none, nor is the second of two that touch.
LINK_PATTERN = rf"(?<![A-Za-z0-9._~/-])content:(part|item|block)/({KEY_PATTERN})"
# What every text with a link contains: a cheap test before the regular expression.
LINK_MARK = "content:"

# The only fields whose links are followed and rewritten, by level.
TEXT_FIELDS: Mapping[str, tuple[str, ...]] = {
    "part": ("name",),
    "item": ("name",),
    "block": ("name", "field_1", "field_2", "field_3"),
}

_LINK = re.compile(LINK_PATTERN)
_KEY = re.compile(KEY_PATTERN)
# Eighteen digits always fit a bigint.
_ID = re.compile(r"[1-9][0-9]{0,17}")


class Link(NamedTuple):
    level: str
    key: str

    def __str__(self) -> str:
        return f"{LINK_MARK}{self.level}/{self.key}"


def is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def as_id(key: str) -> int | None:
    """The id that `key` is written as, or None where it isn't an id (`intro`, `007`)."""
    return int(key) if _ID.fullmatch(key) else None


def linked_ids(text: str) -> list[tuple[str, int]]:
    """Level and id of each link in a text from the database, in order.

    A link whose last piece isn't an id points to nothing and is left out.
    """
    if LINK_MARK not in text:
        return []
    found = ((level, as_id(written.rstrip("."))) for level, written in _LINK.findall(text))
    return [(level, target) for level, target in found if target is not None]


def rewrite_links(text: str, new_key: Callable[[Link], str | None]) -> str:
    """`text` with the key of each link replaced by `new_key(link)`; None keeps the link.

    A full stop at a key's end may be the key's own or the sentence's: `new_key` is asked
    with it first and, if that is None, without it.
    """
    if LINK_MARK not in text:
        return text

    def rewritten(match: re.Match[str]) -> str:
        level, written = match.groups()
        for key in _readings(written):
            replacement = new_key(Link(level, key))
            if replacement is not None:
                return f"{Link(level, replacement)}{written[len(key) :]}"
        return match.group()

    return _LINK.sub(rewritten, text)


def replace_link(text: str, old: Link, new: Link) -> str:
    """`text` with each `old` link made `new`; full stops are read as in `rewrite_links`."""

    def replaced(match: re.Match[str]) -> str:
        level, written = match.groups()
        if level == old.level and old.key in _readings(written):
            return f"{new}{written[len(old.key) :]}"
        return match.group()

    return _LINK.sub(replaced, text)


def holds_link(text: str, link: Link) -> bool:
    """Whether `link` stands in the text; full stops are read as in `rewrite_links`."""
    return any(
        level == link.level and link.key in _readings(written)
        for level, written in _LINK.findall(text)
    )


def parse_link(text: str) -> Link | None:
    """The one link that `text` is, with or without `content:`; None if it is anything else."""
    match = _LINK.fullmatch(f"{LINK_MARK}{text.strip().removeprefix(LINK_MARK)}")
    return Link(*match.groups()) if match else None


def unknown_links(text: str, is_known: Callable[[Link], bool]) -> list[Link]:
    """The links in `text` that `is_known` doesn't know, in order, once for each place.

    Full stops at the end are read as in `rewrite_links`.
    """
    if LINK_MARK not in text:
        return []
    unknown = []
    for level, written in _LINK.findall(text):
        readings = _readings(written)
        if not any(is_known(Link(level, key)) for key in readings):
            unknown.append(Link(level, readings[-1]))
    return unknown


def _readings(written: str) -> list[str]:
    """`a..` may name `a..`, `a.` or `a`. A key is never empty."""
    shortest = max(len(written.rstrip(".")), 1)
    return [written[:end] for end in range(len(written), shortest - 1, -1)]
