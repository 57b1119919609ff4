"""What changed in the original while it was being copied: counted, listed, and no fault."""

import datetime as dt

import pytest
from django.db import connection

from content.models import Block, Episode, Item, Part
from duplication.copying import DuplicateBlocks
from duplication.drift import FindDrift
from duplication.kind import DUPLICATION
from duplication.models import DriftFinding, IdMap
from duplication.services import start_duplication
from operations import control, runner
from tests.duplication.driving import run_stage, run_to_end
from tests.factories.content import BlockFactory, EpisodeFactory, ItemFactory, PartFactory

pytestmark = pytest.mark.django_db

LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


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


@pytest.mark.django_db(transaction=True)
def test_drift_of_an_unchanged_original_is_none_and_costs_no_comparison(copying):
    run_to_end(copying)
    assert copying.status == "completed"
    assert found(copying) == set()
    counts = copying.jobs.get(stage="drift").counts
    assert (counts["blocks.seen"], counts["compared"]) == (12, 0)
    assert [each["source"] for each in copying.report["levels"]] == [1, 2, 4, 12]


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


@pytest.mark.django_db(transaction=True)
def test_drift_old_block_moved_to_where_the_copy_has_been_already_was_added(monkeypatch, settings):
    settings.OPERATION_TIME_BUDGET_SECONDS = 0
    for name in ("initial_size", "min_size", "max_size"):
        monkeypatch.setattr(DuplicateBlocks, name, 3)
    part = PartFactory()
    first, second = ItemFactory(part=part), ItemFactory(part=part)
    *_, moved = BlockFactory.create_batch(3, item=second)
    BlockFactory.create_batch(3, item=first)
    Block.objects.update(created_at=LONG_AGO, updated_at=LONG_AGO)
    duplication, _ = start_duplication(episode_id=part.episode_id, requested_by=None)
    run_stage(duplication, "items")
    for _ in range(2):
        runner.run("duplication", duplication.jobs.get(stage="blocks").pk)
    Block.objects.filter(pk=moved.pk).update(item=first)

    run_to_end(duplication)

    assert duplication.status == "completed", duplication.error_message
    assert found(duplication) == {("added", "block", moved.pk)}
    assert level(duplication, "blocks") == level(duplication, "blocks") | {
        "source": 5,
        "copy": 5,
        "arrived_since": 1,
    }


@pytest.mark.django_db(transaction=True)
def test_drift_old_block_moved_in_from_another_episode_was_added(copying):
    stranger = BlockFactory()
    BlockFactory(item=ItemFactory(part=PartFactory(episode=EpisodeFactory())))
    Block.objects.filter(pk=stranger.pk).update(created_at=LONG_AGO, updated_at=LONG_AGO)
    copying.high_water["blocks"] = stranger.pk
    copying.save()
    Block.objects.filter(pk=stranger.pk).update(item=blocks(copying.episode)[0].item)

    run_to_end(copying)

    assert copying.status == "completed", copying.error_message
    assert found(copying) == {("added", "block", stranger.pk)}


@pytest.mark.django_db(transaction=True)
def test_drift_changes_behind_the_verifications_walk_are_found(copying):
    """As in a pause between the walk and the search for drift."""
    run_stage(copying, "verify")
    edited, deleted, *_ = blocks(copying.episode)
    Block.objects.filter(pk=edited.pk).update(field_2="Edited behind it")
    Block.objects.filter(pk=deleted.pk).delete()

    run_to_end(copying)

    assert copying.status == "completed"
    assert found(copying) == {("edited", "block", edited.pk), ("deleted", "block", deleted.pk)}
    assert level(copying, "blocks") == level(copying, "blocks") | {
        "source": 11,
        "copy": 12,
        "edited_since": 1,
        "gone_since": 1,
    }
    assert level(copying, "items")["source"] == 4


@pytest.mark.django_db(transaction=True)
def test_drift_row_that_only_went_behind_the_verifications_walk_is_found(copying, monkeypatch):
    for name in ("initial_size", "min_size", "max_size"):
        monkeypatch.setattr(FindDrift, name, 5)
    run_stage(copying, "verify")
    gone = blocks(copying.episode)[7]
    Block.objects.filter(pk=gone.pk).delete()

    run_to_end(copying)

    assert found(copying) == {("deleted", "block", gone.pk)}
