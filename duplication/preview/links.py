"""The links in an episode's texts by where they lead: into its tree, elsewhere, to nothing.

What the copy does with each is `duplication.links`': those into the tree will point into
the copy, the others stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db import models

from content.links import LINK_MARK, LINK_PATTERN, Link, as_id
from content.models import Episode
from duplication.levels import CHILD_LEVELS, Level
from duplication.preview.counting import Clock, Count, descent_sql, read_rows

MAX_EXAMPLES = 5
# Past this a preview has said enough; the copy's own report lists all.
MAX_LINKS = 100_000


@dataclass(frozen=True)
class LeavingLink:
    """A link that stays as it is. `episode`: the one it leads to; None: it leads to nothing."""

    type: str
    id: int
    field: str
    target: str
    episode: int | None


@dataclass(frozen=True)
class Links:
    inside: Count = field(default_factory=Count)
    external: Count = field(default_factory=Count)
    unresolved: Count = field(default_factory=Count)
    examples: tuple[LeavingLink, ...] = ()


class _Written(NamedTuple):
    """One link as it stands in one field of one row."""

    type: str
    id: int
    field: str
    target: Link


def find_links(episode: Episode, clock: Clock) -> Links:
    """A link that stands in one field several times counts once."""
    found = _Found(episode)
    levels = [level for _, level in CHILD_LEVELS if level.text_fields]
    exact = True
    for number, level in enumerate(levels):
        part = clock.part(1 / (len(levels) - number))
        exact &= read_rows(links_sql(level), episode, part, found.visitor(level))
    return Links(
        inside=Count(found.inside, exact),
        external=Count(found.external, exact),
        unresolved=Count(found.unresolved, exact),
        examples=tuple(found.examples),
    )


def links_sql(level: Level) -> str:
    """(id, field, level linked to, its key) of each link in the level's texts. A full stop at
    a key's end is the sentence's."""
    table = level.table
    texts = ", ".join(f"({table}.{column}, '{column}')" for column in level.text_fields)
    marked = " OR ".join(f"strpos({table}.{c}, '{LINK_MARK}') > 0" for c in level.text_fields)
    found = descent_sql(
        level,
        f"{table}.id, link.field, link.level, link.key",
        f"""CROSS JOIN LATERAL (
            SELECT DISTINCT texts.field, found.parts[1] AS level,
                coalesce(nullif(rtrim(found.parts[2], '.'), ''), found.parts[2]) AS key
            FROM (VALUES {texts}) AS texts(text, field),
                regexp_matches(texts.text, '{LINK_PATTERN}', 'g') AS found(parts)
        ) AS link""",
    )
    return f"{found} AND ({marked})"


class _Found:
    def __init__(self, episode: Episode) -> None:
        self.episode = episode
        self.inside = self.external = self.unresolved = 0
        self.examples: list[LeavingLink] = []

    def visitor(self, level: Level) -> Any:
        def visit(rows: list[tuple[Any, ...]]) -> bool:
            self.add([_Written(level.node, pk, name, Link(to, key)) for pk, name, to, key in rows])
            return self.inside + self.external + self.unresolved < MAX_LINKS

        return visit

    def add(self, written: list[_Written]) -> None:
        episodes = _episodes_of(link.target for link in written)
        for link in written:
            episode = episodes.get(link.target)
            if episode == self.episode.pk:
                self.inside += 1
                continue
            if episode is None:
                self.unresolved += 1
            else:
                self.external += 1
            if len(self.examples) < MAX_EXAMPLES:
                self.examples.append(
                    LeavingLink(link.type, link.id, link.field, str(link.target), episode)
                )


def _episodes_of(links: Iterable[Link]) -> dict[Link, int]:
    """The episode in whose tree each link's target is; links to nothing are left out."""
    ids: dict[str, dict[int, Link]] = {}
    for link in links:
        if (number := as_id(link.key)) is not None:
            ids.setdefault(link.level, {})[number] = link
    episodes = {}
    for model, node, path in _WAYS:
        wanted = ids.get(node, {})
        if wanted:
            for pk, episode in model._default_manager.filter(pk__in=wanted).values_list("pk", path):
                episodes[wanted[pk]] = episode
    return episodes


def _ways() -> Iterable[tuple[type[models.Model], str, str]]:
    path = ""
    for _, level in CHILD_LEVELS:
        path = f"{level.parent}__{path}" if path else f"{level.parent}_id"
        yield level.model, level.node, path


_WAYS = tuple(_ways())
