"""Other ways to copy a tree, each as strong as its kind allows.

None of them does what Encore does on top (resume, lanes, gates, progress, verification,
links), and only the raw one keeps an id map. Each function copies one episode, commits,
and times it from its first statement to its last commit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg
from django.db import models, transaction

from benchmarks.figures import Timing
from content.models import Block, Episode, Item, Part
from duplication.levels import CHILD_LEVELS, EPISODE, NOW, Level
from duplication.models import Duplication

# --- raw ------------------------------------------------------------------------

# The id map has no foreign key to a duplication, so any number will do.
RAW_DUPLICATION = 0
# What Encore's own chunks get. Without it the ids that RETURNING hands over go to disk.
RAW_SESSION = "SET LOCAL work_mem = '64MB'; SET LOCAL jit = off"


def copy_raw(url: str, episode_id: int) -> Timing:
    """One transaction on one bare connection, one INSERT … SELECT per level.

    The rows, tables, indexes, constraints and id map are those of Encore's copy. The id map
    is analyzed after each level, so that the planner knows what it joins.
    """
    parameters = {"duplication": RAW_DUPLICATION, "episode": episode_id}
    with psycopg.connect(url) as connection:
        connection.autocommit = True
        began = time.monotonic()
        with connection.transaction():
            connection.execute(RAW_SESSION)
            connection.execute(raw_root_sql(), parameters)
            for above, level in CHILD_LEVELS:
                connection.execute("ANALYZE id_map")
                connection.execute(raw_level_sql(above, level), parameters)
        return Timing(time.monotonic() - began)


def raw_root_sql() -> str:
    copied = ", ".join(
        field.attname
        for field in EPISODE.model._meta.concrete_fields
        if field.attname not in ("id", "orig_id")
    )
    return _mapped(
        EPISODE,
        f"""
        INSERT INTO {EPISODE.table} (orig_id, {copied})
        SELECT id, {copied} FROM {EPISODE.table} WHERE id = %(episode)s""",  # noqa: S608 - declared
    )


def raw_level_sql(above: Level, level: Level) -> str:
    copied = ", ".join(level.copied)
    qualified = ", ".join(f"c.{column}" for column in level.copied)
    return _mapped(
        level,
        f"""
        INSERT INTO {level.table} ({level.parent_column}, orig_id, {copied}, created_at, updated_at)
        SELECT m.new_id, c.id, {qualified}, {NOW}, {NOW}
        FROM {level.table} c JOIN id_map m
            ON m.duplication_id = %(duplication)s AND m.type = '{above.node}'
            AND m.org_id = c.{level.parent_column}""",  # noqa: S608 - names of declared models
    )


def _mapped(level: Level, insert: str) -> str:
    return f"""
        WITH inserted AS ({insert} RETURNING id, orig_id)
        INSERT INTO id_map (duplication_id, type, org_id, new_id, has_link)
        SELECT %(duplication)s, '{level.node}', orig_id, id, false FROM inserted"""  # noqa: S608


# --- fetch and insert -------------------------------------------------------------

PARTS_AT_ONCE = 1_000
PARTS_CHUNK = 100
ITEMS_CHUNK = 100
BLOCKS_CHUNK = 200


def copy_fetch_insert(episode_id: int) -> Timing:
    """Fetch a chunk of rows, insert it with one statement, count it as progress, and so on.

    Chunks of 100 parts, 100 items and 200 blocks, each a transaction; parents are found
    through the new rows' `orig_id`. Pages by keyset, which OFFSET can only be slower than.
    """
    progress = Duplication.objects.create(
        episode_id=episode_id, org_episode_id=episode_id, title="Fetch and insert"
    )
    began = time.monotonic()
    episode = Episode.objects.get(pk=episode_id)
    episode.pk, episode.orig_id = None, episode_id
    episode._state.adding = True
    episode.save()
    for parts in _pages(Part.objects.filter(episode=episode_id), PARTS_CHUNK):
        _insert(parts, "episode_id", {episode_id: episode.pk}, progress)
    for new_parts in _pages(Part.objects.filter(episode=episode), PARTS_AT_ONCE):
        new_ids = {part.orig_id: part.pk for part in new_parts}
        for items in _pages(Item.objects.filter(part__in=list(new_ids)), ITEMS_CHUNK):
            _insert(items, "part_id", new_ids, progress)
    for new_parts in _pages(Part.objects.filter(episode=episode), PARTS_AT_ONCE):
        for new_items in _pages(Item.objects.filter(part__in=new_parts), ITEMS_CHUNK):
            new_ids = {item.orig_id: item.pk for item in new_items}
            for blocks in _pages(Block.objects.filter(item__in=list(new_ids)), BLOCKS_CHUNK):
                _insert(blocks, "item_id", new_ids, progress)
    return Timing(time.monotonic() - began)


def _pages(rows: models.QuerySet[Any], size: int) -> Iterator[list[Any]]:
    after = 0
    while page := list(rows.filter(pk__gt=after).order_by("pk")[:size]):
        after = page[-1].pk  # before the caller makes new rows of them
        yield page


def _insert(
    rows: list[Any], parent: str, new_ids: dict[int, int], duplication: Duplication
) -> None:
    for row in rows:
        row.orig_id, row.pk = row.pk, None
        setattr(row, parent, new_ids[getattr(row, parent)])
    stage = rows[0]._meta.db_table
    with transaction.atomic():
        type(rows[0])._default_manager.bulk_create(rows)
        duplication.progress[stage] = duplication.progress.get(stage, 0) + len(rows)
        duplication.save(update_fields=["progress", "updated_at"])


# --- django-clone -----------------------------------------------------------------


def copy_django_clone(episode_id: int) -> Timing:
    """`make_clone()` of the root, which follows the declared relations down the tree."""
    # Importing it adds models to the content app: not before the tables are migrated.
    from benchmarks.cloneable import CloneableEpisode

    began = time.monotonic()
    episode: Any = CloneableEpisode.objects.get(pk=episode_id)
    episode.make_clone()
    return Timing(time.monotonic() - began)
