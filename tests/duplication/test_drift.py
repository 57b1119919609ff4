"""What changed in the original while it was being copied: counted, listed, and no fault."""

import pytest
from django.db import connection

from content.models import Block, Episode, Item, Part
from duplication.drift import FindDrift
from duplication.kind import DUPLICATION
from duplication.models import DriftFinding, IdMap
from duplication.services import start_duplication
from operations import control
from tests.duplication.driving import run_stage, run_to_end
from tests.factories.content import BlockFactory, EpisodeFactory, ItemFactory, PartFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def episode():
    """Two parts of two items of three blocks each."""
    episode = EpisodeFactory()
    for _ in range(2):
        part = PartFactory(episode=episode)
        for _ in range(2):
            BlockFactory.create_batch(3, item=ItemFactory(part=part))
    return episode


def blocks(episode):
    return list(Block.objects.filter(item__part__episode=episode).order_by("pk"))


@pytest.fixture
def copying(episode):
    """A duplication whose rows and links are done and whose verification isn't."""
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_stage(duplication, "links")
    return duplication


def found(duplication):
    return {(each.change, each.type, each.org_id) for each in duplication.drift_findings.all()}


def level(duplication, stage):
    return next(each for each in duplication.report["levels"] if each["stage"] == stage)


def test_drift_of_an_unchanged_original_is_none_and_costs_no_walk(copying):
    run_to_end(copying)
    assert copying.status == "completed"
    assert found(copying) == set()
    assert copying.jobs.get(stage="drift").counts == {}


def test_drift_edited_rows_of_every_level_are_listed_with_their_copies(copying):
    block = blocks(copying.episode)[4]
    item, part = block.item, block.item.part
    Part.objects.filter(pk=part.pk).update(name="Other")
    Item.objects.filter(pk=item.pk).update(position=7)
    Block.objects.filter(pk=block.pk).update(field_1=None)

    run_to_end(copying)

    assert copying.status == "completed"
    assert found(copying) == {
        ("edited", "part", part.pk),
        ("edited", "item", item.pk),
        ("edited", "block", block.pk),
    }
    for each in copying.drift_findings.all():
        entry = IdMap.objects.get(duplication=copying, type=each.type, org_id=each.org_id)
        assert each.new_id == entry.new_id
    assert level(copying, "blocks")["edited_since"] == 1


def test_drift_edit_of_the_episodes_own_row_is_listed_with_its_copy(copying):
    Episode.objects.filter(pk=copying.org_episode_id).update(type="dialogue", title="Not copied")

    run_to_end(copying)

    assert copying.status == "completed"
    assert found(copying) == {("edited", "episode", copying.org_episode_id)}
    assert copying.drift_findings.get().new_id == copying.new_episode_id
    assert level(copying, "episode")["edited_since"] == 1
    assert level(copying, "episode")["differences"] == []


def test_drift_new_title_of_the_original_is_none(copying):
    """The copy has a title of its own."""
    Episode.objects.filter(pk=copying.org_episode_id).update(title="Renamed")
    run_to_end(copying)
    assert found(copying) == set()


def test_drift_edit_of_nothing_but_a_links_target_is_found(episode):
    first, second, third, *_ = blocks(episode)
    Block.objects.filter(pk=first.pk).update(field_2=f"content:block/{second.pk}")
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_stage(duplication, "links")
    Block.objects.filter(pk=first.pk).update(field_2=f"content:block/{third.pk}")

    run_to_end(duplication)

    assert duplication.status == "completed"
    assert found(duplication) == {("edited", "block", first.pk)}


def test_drift_two_rows_that_swap_their_texts_are_both_found(episode):
    first, second, *_ = blocks(episode)
    Block.objects.filter(pk=first.pk).update(field_1="One")
    Block.objects.filter(pk=second.pk).update(field_1="Two")
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_stage(duplication, "links")
    Block.objects.filter(pk=first.pk).update(field_1="Two")
    Block.objects.filter(pk=second.pk).update(field_1="One")
    run_to_end(duplication)
    assert {each[2] for each in found(duplication)} == {first.pk, second.pk}


def test_drift_row_that_moved_within_the_tree_is_edited(copying):
    block, *_, last = blocks(copying.episode)
    Block.objects.filter(pk=block.pk).update(item=last.item)
    run_to_end(copying)
    assert found(copying) == {("edited", "block", block.pk)}


def test_drift_deleted_and_moved_away_rows_are_deleted(copying):
    deleted, moved, *_ = blocks(copying.episode)
    Block.objects.filter(pk=deleted.pk).delete()
    Block.objects.filter(pk=moved.pk).update(item=ItemFactory())
    run_to_end(copying)
    assert copying.status == "completed"
    assert found(copying) == {("deleted", "block", deleted.pk), ("deleted", "block", moved.pk)}
    assert level(copying, "blocks")["gone_since"] == 2


def test_drift_row_that_left_one_and_row_that_changed_do_not_cancel_out(copying):
    """Thirty missing and thirty too many: sums, not counts."""
    first, second, *_ = blocks(copying.episode)
    Block.objects.filter(pk=first.pk).delete()
    Block.objects.filter(pk=second.pk).update(name="Renamed")
    run_to_end(copying)
    assert found(copying) == {("deleted", "block", first.pk), ("edited", "block", second.pk)}


@pytest.mark.parametrize("size", [1, 2, 5])
def test_drift_in_chunks_of_any_size_is_the_same(copying, monkeypatch, size):
    monkeypatch.setattr(FindDrift, "initial_size", size)
    monkeypatch.setattr(FindDrift, "min_size", size)
    monkeypatch.setattr(FindDrift, "max_size", size)
    first, second, third, *_, last = blocks(copying.episode)
    for each in (first, third, last):
        Block.objects.filter(pk=each.pk).update(field_3="New")
    Block.objects.filter(pk=second.pk).delete()

    run_to_end(copying)

    assert found(copying) == {
        ("deleted", "block", second.pk),
        *(("edited", "block", each.pk) for each in (first, third, last)),
    }


def test_drift_found_twice_is_listed_once(copying):
    """After a bad verdict everything is verified again."""
    block = blocks(copying.episode)[0]
    Block.objects.filter(pk=block.pk).update(field_3="New")
    copy = Block.objects.get(orig_id=blocks(copying.episode)[5].pk)
    Block.objects.filter(pk=copy.pk).update(field_1="Broken")
    run_to_end(copying)
    assert copying.status == "failed"
    Block.objects.filter(pk=copy.pk).update(field_1=copy.field_1)

    control.retry(DUPLICATION, copying)
    run_to_end(copying)

    assert copying.status == "completed"
    assert found(copying) == {("edited", "block", block.pk)}


@pytest.mark.django_db(transaction=True)
def test_drift_rows_added_since_are_listed_without_a_copy():
    episode = EpisodeFactory()
    item = ItemFactory(part=PartFactory(episode=episode))
    BlockFactory.create_batch(2, item=item)
    # Ids below the high-water mark that arrive late: as if another session had committed.
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('blocks', 'id'))")
        (late,) = cursor.fetchone()
    BlockFactory(item=ItemFactory())
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_stage(duplication, "links")
    BlockFactory(item=item, id=late)

    run_to_end(duplication)

    assert duplication.status == "completed"
    (added,) = duplication.drift_findings.all()
    assert (added.change, added.org_id, added.new_id) == (DriftFinding.Change.ADDED, late, None)
    assert level(duplication, "blocks")["arrived_since"] == 1
