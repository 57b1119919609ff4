from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from content.deletion import count_below
from content.models import Block, Episode, Item, Part
from content.services import delete_episode, delete_nodes, update_episode
from content.synthetic import make_episode
from tests.factories.content import BlockFactory, EpisodeFactory

pytestmark = pytest.mark.django_db


def test_delete_episode_removes_its_tree_and_no_other() -> None:
    make_episode(parts=2, items=2, blocks=3)
    other = BlockFactory()
    delete_episode(episode=Episode.objects.exclude(pk=other.item.part.episode_id).get())
    assert list(Block.objects.all()) == [other]
    assert (Item.objects.count(), Part.objects.count(), Episode.objects.count()) == (1, 1, 1)


def test_delete_episode_takes_the_same_number_of_queries_for_more_rows() -> None:
    counts = []
    for blocks in (1, 200):
        episode = make_episode(parts=2, items=2, blocks=blocks)
        with CaptureQueriesContext(connection) as queries:
            delete_episode(episode=episode)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_delete_episode_twice_is_no_error() -> None:
    episode = EpisodeFactory()
    delete_episode(episode=episode)
    delete_episode(episode=episode)


def test_delete_nodes_of_one_item_keeps_its_siblings() -> None:
    episode = make_episode(parts=1, items=2, blocks=3)
    gone, kept = Item.objects.filter(part__episode=episode)
    delete_nodes(model=Item, ids=[gone.pk])
    assert list(Item.objects.all()) == [kept]
    assert set(Block.objects.values_list("item_id", flat=True)) == {kept.pk}


def test_count_below_counts_each_level_up_to_the_limit() -> None:
    episode = make_episode(parts=2, items=2, blocks=3)
    assert count_below(Episode, [episode.pk], limit=5) == {Part: 2, Item: 4, Block: 6}
    assert count_below(Block, [1], limit=5) == {}


def test_update_episode_writes_only_the_changes() -> None:
    episode = EpisodeFactory(title="Old")
    stale = Episode.objects.get(pk=episode.pk)
    Episode.objects.filter(pk=episode.pk).update(generation_progress=50)
    update_episode(episode=stale, changes={"title": "New"})
    episode.refresh_from_db()
    assert (episode.title, episode.generation_progress) == ("New", 50)
    assert episode.updated_at > episode.created_at
