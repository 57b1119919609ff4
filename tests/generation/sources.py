"""Sources for tests that need no database."""

from __future__ import annotations

from collections.abc import Sequence

from generation.script.source import LeftOut, Passage, Source


def make_source(
    *parts: tuple[str, Sequence[tuple[str, Sequence[str]]]],
    type: str = "solo",
    title: str = "An episode",
    left_out: tuple[LeftOut, ...] = (),
) -> Source:
    """`make_source(("Part", [("Item", ["A text.", "Another."])]))`; ids count up from 1."""
    passages: list[Passage] = []
    item_id = 0
    for part_id, (part_title, items) in enumerate(parts, start=1):
        for item_title, texts in items:
            item_id += 1
            passages.extend(
                Passage(len(passages) + 1 + index, part_id, part_title, item_id, item_title, text)
                for index, text in enumerate(texts)
            )
    return Source(title, type, tuple(passages), left_out)
