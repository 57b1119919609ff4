"""The tree that is copied, declared.

Another level, or another tree, is another declaration: everything else (chunks, lanes,
links, verification, progress) is made from these.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from django.db import models

from content.links import TEXT_FIELDS
from content.models import Block, Episode, Item, Part

NOW = "statement_timestamp()"


@dataclass(frozen=True)
class Level:
    """One level of the tree.

    `node` names it in the id map and in links, `stage` in progress and events. `parent`
    is the foreign key to the level above. `reset` gives columns that don't take the
    original's value a SQL expression; it may use the parameters of `DuplicateEpisode`.
    `text_fields` may hold links to other nodes.
    """

    node: str
    stage: str
    model: type[models.Model]
    parent: str | None = None
    reset: Mapping[str, str] = field(default_factory=dict)
    text_fields: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        return self.model._meta.db_table

    @property
    def parent_column(self) -> str:
        return f"{self.parent}_id"

    def limit(self, field: str) -> int | None:
        """How many characters a text field has room for; None: any number."""
        length: int | None = getattr(self.model._meta.get_field(field), "max_length", None)
        return length

    @cached_property
    def copied(self) -> tuple[str, ...]:
        """The columns a copy takes over as they are; a new column of the model is one."""
        own = {"id", "orig_id", *self.reset}
        if self.parent:
            own.add(self.parent_column)
        columns = [f.column or f.name for f in self.model._meta.concrete_fields]
        return tuple(column for column in columns if column not in own)


_TIMES = {"created_at": NOW, "updated_at": NOW}

EPISODE = Level(
    "episode",
    "episode",
    Episode,
    reset={
        **_TIMES,
        "title": "%(title)s",
        "owner_id": "%(owner_id)s",
        "status": f"'{Episode.Status.COPYING.value}'",
        "audio_url": "''",
        "generation_status": f"'{Episode.GenerationStatus.PENDING.value}'",
        "generation_job_id": "NULL",
        "generation_error": "NULL",
        "generation_progress": "0",
        "generation_started_at": "NULL",
        "generation_completed_at": "NULL",
    },
)
PARTS = Level("part", "parts", Part, "episode", reset=_TIMES, text_fields=TEXT_FIELDS["part"])
ITEMS = Level("item", "items", Item, "part", reset=_TIMES, text_fields=TEXT_FIELDS["item"])
BLOCKS = Level("block", "blocks", Block, "item", reset=_TIMES, text_fields=TEXT_FIELDS["block"])

TREE: tuple[Level, ...] = (EPISODE, PARTS, ITEMS, BLOCKS)
# The levels below the root, each with the one above it.
CHILD_LEVELS: tuple[tuple[Level, Level], ...] = tuple(itertools.pairwise(TREE))


def by_stage(stage: str) -> tuple[Level, Level]:
    """The level of `stage` below the root, as (level above, level)."""
    return next(pair for pair in CHILD_LEVELS if pair[1].stage == stage)
