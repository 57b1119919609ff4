"""The outline and a page of the script, and what is left out of it with the reasons."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from django.db import connection

from content.models import Block
from generation.models import GenerationJob
from generation.pages.presenting.paging import Pages, window
from generation.script.source import LeftOut

TURNS_PER_PAGE = 60
MOST_CHAPTERS = 500
EXAMPLES = 3


class ChapterView(NamedTuple):
    number: int
    title: str
    topics: list[str]


class OutlineView(NamedTuple):
    """`more`: how many chapters aren't shown."""

    chapters: list[ChapterView]
    more: int


def outline(generation: GenerationJob) -> OutlineView | None:
    """None while there is none."""
    if generation.outline is None:
        return None
    chapters = generation.outline["chapters"]
    shown = [
        ChapterView(number, chapter["title"], chapter["topics"])
        for number, chapter in enumerate(chapters[:MOST_CHAPTERS], start=1)
    ]
    return OutlineView(shown, max(len(chapters) - MOST_CHAPTERS, 0))


class TurnView(NamedTuple):
    speaker: str
    text: str


class ScriptChapter(NamedTuple):
    number: int
    title: str
    turns: list[TurnView]


@dataclass(frozen=True)
class Reason:
    """Why blocks aren't said. `examples` are names of some of them."""

    text: str
    count: int
    examples: list[str]


class ScriptView(NamedTuple):
    """One page of the script. `has_guest`: whether it matters who speaks. `edit_url` is empty
    where it can't be edited now."""

    chapters: list[ScriptChapter]
    turns: int
    chars: int
    has_guest: bool
    left_out: list[Reason]
    pages: Pages
    was_edited: bool
    edit_url: str


def script(
    generation: GenerationJob, parameters: Mapping[str, str], *, edit_url: str = ""
) -> ScriptView | None:
    """The page that `parameters` ask for ("script"); None while there is no script."""
    first, number = window(parameters, "script", TURNS_PER_PAGE)
    found = _read_script(generation, first)
    if found is None:
        return None
    turns, count, chars, speakers, left_out = found
    titles = chapter_titles(generation)
    chapters = [
        ScriptChapter(
            index + 1,
            titles.get(index, ""),
            [TurnView(each["speaker"], each["text"]) for each in of_chapter],
        )
        for index, of_chapter in groupby(turns, key=lambda each: int(each["chapter"]))
    ]
    return ScriptView(
        chapters=chapters,
        turns=count,
        chars=chars,
        has_guest="guest" in speakers,
        left_out=reasons(LeftOut(each["block_id"], each["reason"]) for each in left_out),
        pages=Pages(number, max(-(-count // TURNS_PER_PAGE), 1), "script"),
        was_edited=generation.script_edited_at is not None,
        edit_url=edit_url,
    )


def _read_script(
    generation: GenerationJob, first: int
) -> tuple[list[dict[str, Any]], int, int, list[str], list[dict[str, Any]]] | None:
    """A page of turns, how many there are, their characters, who speaks, and what is left out:
    only that leaves the database, of megabytes."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT (
                       SELECT coalesce(jsonb_agg(turn ORDER BY number), '[]')
                       FROM jsonb_array_elements(script->'turns') WITH ORDINALITY
                           AS turns (turn, number)
                       WHERE number > %(first)s AND number <= %(first)s + %(most)s
                   ),
                   jsonb_array_length(script->'turns'),
                   (
                       SELECT coalesce(sum(length(turn->>'text')), 0)
                       FROM jsonb_array_elements(script->'turns') AS turn
                   ),
                   (
                       SELECT jsonb_agg(DISTINCT turn->'speaker')
                       FROM jsonb_array_elements(script->'turns') AS turn
                   ),
                   script->'left_out'
            FROM generation_jobs WHERE id = %(id)s AND script IS NOT NULL
            """,
            {"id": generation.pk, "first": first, "most": TURNS_PER_PAGE},
        )
        row = cursor.fetchone()
    if row is None:
        return None
    turns, count, chars, speakers, left_out = row
    return (
        json.loads(turns),
        count,
        chars,
        json.loads(speakers or "[]"),
        json.loads(left_out or "[]"),
    )


def reasons(left_out: Iterable[LeftOut]) -> list[Reason]:
    """What isn't said, a line for each reason. One query."""
    by_reason: dict[str, list[int]] = {}
    for each in left_out:
        by_reason.setdefault(each.reason, []).append(each.block_id)
    wanted = [block for blocks in by_reason.values() for block in blocks[:EXAMPLES]]
    names = dict(Block.objects.filter(pk__in=wanted).values_list("pk", "name"))
    return [
        Reason(
            text,
            len(blocks),
            [names[each] or f"Block {each}" for each in blocks[:EXAMPLES] if each in names],
        )
        for text, blocks in sorted(by_reason.items(), key=lambda found: -len(found[1]))
    ]


def chapter_titles(generation: GenerationJob) -> dict[int, str]:
    """By the index that turns and segments name; empty while there is no outline."""
    if generation.outline is None:
        return {}
    return {index: each["title"] for index, each in enumerate(generation.outline["chapters"])}
