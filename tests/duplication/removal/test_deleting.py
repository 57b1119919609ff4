import pytest
from django.db import connection, transaction
from django_q.models import OrmQ

from content.models import Block, Episode, Item, Part
from content.synthetic import make_episode
from content.tree import PARENT_FIELDS, descendants
from duplication.kind import DUPLICATION
from duplication.levels import CHILD_LEVELS
from duplication.models import DriftFinding, Duplication, IdMap, LinkFinding, MediaFile, OwnEdit
from duplication.removal.deleting import (
    RemoveBlocks,
    RemoveEpisode,
    RemoveLevel,
    delete_sql,
    plan_for_deleting,
    release_sql,
)
from duplication.removal.kind import REMOVAL
from duplication.removal.services import start_removal
from duplication.services import start_duplication
from operations import control, runner
from operations.gates.load import state
from operations.gates.load.reading import Figure
from tests.duplication.driving import duplicate, remove, rows, run_stage, run_to_end, tree
from tests.factories.content import BlockFactory, EpisodeFactory, ItemFactory, PartFactory
from tests.operations.load.collectors import Says

pytestmark = pytest.mark.django_db

CONTENT = (Episode, Part, Item, Block)


def everything():
    """All rows of the content, and of what is kept about copies."""
    kept = (IdMap, LinkFinding, DriftFinding, OwnEdit, MediaFile)
    return {
        model.__name__: list(model.objects.order_by("pk").values()) for model in (*CONTENT, *kept)
    }


@pytest.fixture
def tiny_steps(monkeypatch):
    for work in (RemoveLevel, RemoveBlocks, RemoveEpisode):
        for name in ("initial_size", "min_size", "max_size"):
            monkeypatch.setattr(work, name, 3)


@pytest.fixture
def no_statistics():
    """The planner takes a tree's tables for new. What it had been told of the rows of tests
    before, which are gone, makes walking a whole table look free to it."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE episodes CASCADE")


def linked_episode():
    """A tree with a link that stays, so that there is a finding."""
    episode = make_episode(parts=2, items=3, blocks=4)
    Block.objects.filter(item__part__episode=episode).update(field_1="see content:block/999999")
    return episode


def test_undo_leaves_everything_else_as_it_was():
    episode = linked_episode()
    other = duplicate(make_episode(parts=1, items=2, blocks=2))
    before = everything()
    duplication = duplicate(episode)
    assert everything() != before

    removal = remove(duplication)

    assert removal.status == "completed", removal.error_message
    assert everything() == before
    assert duplication.removed_at
    assert (duplication.status, duplication.display_status) == ("completed", "removed")
    assert duplication.new_episode is None
    assert other.new_episode.status == "draft"


def test_undo_in_chunks_tells_how_far_it_is(tiny_steps):
    duplication = duplicate(make_episode(parts=2, items=3, blocks=4))

    removal = remove(duplication)

    assert removal.jobs.get(stage="blocks").steps == 1 + 24 // 3 + 1
    done = {stage: (entry["done"], entry["total"]) for stage, entry in removal.progress.items()}
    assert done["blocks"] == (24, 24)
    assert done["items"] == (6, 6)
    assert done["parts"] == (2, 2)
    assert rows(duplication.episode) == (2, 6, 24)
    assert Block.objects.count() == 24


def test_undo_copy_is_hidden_from_the_start():
    duplication = duplicate(make_episode(parts=1, items=1, blocks=1))
    removal, _ = start_removal(duplication=duplication, requested_by=None)
    copy = Episode.objects.get(pk=duplication.new_episode_id)
    assert copy.status == "removing"
    assert removal.previous_status == "draft"
    duplication.refresh_from_db()
    assert duplication.display_status == "removing"


def test_undo_chunk_takes_its_rows_and_their_pairs_together(tiny_steps):
    duplication = duplicate(make_episode(parts=1, items=2, blocks=5))
    removal, _ = start_removal(duplication=duplication, requested_by=None)
    run_stage(removal, "check")
    job = removal.jobs.get(stage="blocks")

    runner.run("removal", job.pk, budget_seconds=0)  # opens the level
    runner.run("removal", job.pk, budget_seconds=0)  # one chunk

    left = set(Block.objects.exclude(item__part__episode=duplication.episode).values_list("pk"))
    assert len(left) == 7
    mapped = IdMap.objects.filter(duplication=duplication, type="block").values_list("new_id")
    assert set(mapped) == left


def test_undo_paused_in_the_middle_goes_on_where_it_was(tiny_steps):
    duplication = duplicate(make_episode(parts=1, items=2, blocks=5))
    before = Block.objects.filter(item__part__episode=duplication.episode).count()
    removal, _ = start_removal(duplication=duplication, requested_by=None)
    run_stage(removal, "check")
    job = removal.jobs.get(stage="blocks")
    for _ in range(3):
        runner.run("removal", job.pk, budget_seconds=0)
    control.request_pause(REMOVAL, removal)
    removal.refresh_from_db()
    assert removal.status == "paused"
    assert Block.objects.count() == before + 4

    control.resume(REMOVAL, removal)
    run_to_end(removal)

    assert removal.status == "completed"
    assert Block.objects.count() == before
    assert removal.progress["blocks"]["done"] == 10


def test_undo_holds_still_while_the_database_is_busy(monkeypatch):
    duplication = duplicate(make_episode(parts=1, items=2, blocks=5))
    removal, _ = start_removal(duplication=duplication, requested_by=None)
    run_stage(removal, "check")
    before = everything()
    with monkeypatch.context() as busy:
        busy.setattr(state, "COLLECTORS", (Says(Figure(95)),))
        state.forget_readings()
        assert run_to_end(removal) == ["waiting"]
    assert removal.waiting_reason == "Database CPU 95% > 80%."
    assert everything() == before

    state.forget_readings()
    removal.jobs.update(not_before=None)
    run_to_end(removal)

    assert (removal.status, removal.waiting_reason) == ("completed", "")
    assert Episode.objects.get() == duplication.episode


def test_undo_cancelled_before_deletion_shows_the_copy_again():
    duplication = duplicate(make_episode(parts=1, items=1, blocks=2))
    copy = duplication.new_episode
    copy_before = tree(copy)
    Episode.objects.filter(pk=copy.pk).update(status="draft")
    removal, _ = start_removal(duplication=duplication, requested_by=None)

    control.request_cancel(REMOVAL, removal)

    copy.refresh_from_db()
    duplication.refresh_from_db()
    assert (copy.status, duplication.display_status) == ("draft", "completed")
    assert tree(copy) == copy_before


def test_undo_cancelled_in_the_middle_stays_hidden_and_another_ends_it(tiny_steps):
    duplication = duplicate(make_episode(parts=1, items=2, blocks=5))
    removal, _ = start_removal(duplication=duplication, requested_by=None)
    run_stage(removal, "blocks")

    control.request_cancel(REMOVAL, removal)

    duplication.refresh_from_db()
    assert duplication.deletion_began_at
    assert duplication.display_status == "partly_removed"
    assert duplication.new_episode.status == "removing"
    second = remove(duplication)
    assert (second.status, duplication.display_status) == ("completed", "removed")
    assert Episode.objects.get() == duplication.episode
    assert not IdMap.objects.exists()


def test_undo_started_while_the_rest_is_deleted_counts_only_what_is_left(tiny_steps):
    duplication = duplicate(make_episode(parts=1, items=1, blocks=6))
    removal, _ = start_removal(duplication=duplication, requested_by=None)
    run_stage(removal, "check")
    job = removal.jobs.get(stage="blocks")
    for _ in range(2):
        runner.run("removal", job.pk, budget_seconds=0)
    control.request_cancel(REMOVAL, removal)
    assert remove(duplication).progress["blocks"]["total"] == 3


def test_cancelled_duplication_cleans_up_by_itself():
    episode = make_episode(parts=2, items=2, blocks=3)
    before = everything()
    queued = OrmQ.objects.count()
    duplication = duplicate_up_to(episode, "items")

    control.request_cancel(DUPLICATION, duplication)

    duplication.refresh_from_db()
    removal = duplication.removals.get()
    assert (duplication.status, duplication.display_status) == ("cancelled", "removing")
    assert OrmQ.objects.count() > queued
    run_to_end(removal)
    duplication.refresh_from_db()
    assert (removal.status, duplication.display_status) == ("completed", "removed")
    assert everything() == before


def test_cancelled_duplication_that_made_nothing_needs_no_clean_up():
    duplication, _ = start_duplication(episode_id=EpisodeFactory().pk, requested_by=None)
    control.request_cancel(DUPLICATION, duplication)
    assert not duplication.removals.exists()


@pytest.mark.parametrize("stage", ["episode", "parts", "blocks", "links"])
def test_failed_duplication_is_cleaned_up(stage):
    episode = make_episode(parts=2, items=2, blocks=3)
    before = everything()
    duplication = failed_after(episode, stage)

    removal = remove(duplication)

    assert removal.status == "completed", removal.error_message
    assert (duplication.status, duplication.display_status) == ("failed", "removed")
    assert everything() == before


def test_failed_duplication_can_not_be_retried_once_it_is_cleaned_up():
    duplication = failed_after(make_episode(parts=1, items=1, blocks=3), "items")
    start_removal(duplication=duplication, requested_by=None)
    assert "cancel that" in DUPLICATION.refusal(duplication, "retry")
    run_to_end(duplication.removals.get())
    duplication.refresh_from_db()
    assert "start a new duplication" in DUPLICATION.refusal(duplication, "retry")


def test_failed_duplication_can_be_retried_after_a_removal_was_cancelled_in_time():
    episode = make_episode(parts=1, items=1, blocks=3)
    duplication = failed_after(episode, "items")
    removal, _ = start_removal(duplication=duplication, requested_by=None)
    control.request_cancel(REMOVAL, removal)
    assert duplication.new_episode.status == "copying"
    control.retry(DUPLICATION, duplication)
    run_to_end(duplication)
    assert duplication.status == "completed"
    assert tree(duplication.new_episode) == tree(episode)


def test_forced_removal_takes_added_and_edited_rows_too(tiny_steps):
    duplication = duplicate(make_episode(parts=2, items=2, blocks=3))
    copy = duplication.new_episode
    others = {model: model.objects.count() for model in CONTENT}
    mapped_part = copy.parts.first()
    mapped_item = mapped_part.items.first()
    BlockFactory.create_batch(7, item=mapped_item)
    added_item = ItemFactory(part=mapped_part)
    BlockFactory.create_batch(4, item=added_item)
    added_part = PartFactory(episode=copy)
    BlockFactory.create_batch(4, item=ItemFactory(part=added_part))
    # A copied row hangs below an added one.
    Block.objects.filter(item=mapped_part.items.all()[1]).update(item=added_item)
    Block.objects.filter(item__part=copy.parts.all()[1]).update(field_1="edited")
    expected = {
        Episode: others[Episode] - 1,
        Part: others[Part] - 2,
        Item: others[Item] - 4,
        Block: others[Block] - 12,
    }

    removal = remove(duplication, even_if_changed=True)

    assert removal.status == "completed", removal.error_message
    assert {model: model.objects.count() for model in CONTENT} == expected
    assert not IdMap.objects.exists()


def test_forced_removal_leaves_what_was_moved_out_of_the_copy():
    duplication = duplicate(make_episode(parts=2, items=2, blocks=3))
    copy, elsewhere = duplication.new_episode, EpisodeFactory()
    moved = copy.parts.first()
    Part.objects.filter(pk=moved.pk).update(episode=elsewhere)
    item = Item.objects.filter(part__episode=copy).first()
    Item.objects.filter(pk=item.pk).update(part=PartFactory(episode=elsewhere))

    removal = remove(duplication, even_if_changed=True)

    assert removal.status == "completed", removal.error_message
    assert rows(elsewhere) == (2, 2 + 1, 6 + 3)
    assert set(Episode.objects.all()) == {duplication.episode, elsewhere}


def test_forced_removal_that_was_cancelled_leaves_what_was_moved_out_when_another_ends_it():
    duplication = duplicate(make_episode(parts=2, items=1, blocks=2))
    elsewhere = EpisodeFactory()
    Part.objects.filter(pk=duplication.new_episode.parts.first().pk).update(episode=elsewhere)
    removal, _ = start_removal(duplication=duplication, requested_by=None, even_if_changed=True)
    run_stage(removal, "check")
    runner.run("removal", removal.jobs.get(stage="blocks").pk, budget_seconds=0)
    control.request_cancel(REMOVAL, removal)

    remove(duplication)

    assert rows(elsewhere) == (1, 1, 2)


def test_undo_of_a_copy_of_which_rows_were_deleted_by_hand_ends_all_the_same():
    duplication = duplicate(make_episode(parts=1, items=2, blocks=3))
    Block.objects.filter(item__part__episode=duplication.new_episode).delete()
    removal = remove(duplication, even_if_changed=True)
    assert removal.status == "completed"
    assert removal.jobs.get(stage="blocks").counts["deleted"] == 0
    assert not IdMap.objects.exists()


@pytest.mark.parametrize("model", [Block, Item, Part])
def test_undo_of_a_copy_to_which_rows_were_added_meanwhile_stops_until_it_is_forced(model):
    duplication = duplicate(make_episode(parts=1, items=2, blocks=2))
    removal, _ = start_removal(duplication=duplication, requested_by=None)
    run_stage(removal, "check")
    added = added_below(duplication.new_episode, model)

    run_to_end(removal)

    assert (removal.status, removal.error_code) == ("failed", "changed_since")
    assert f"{model._meta.model_name} {added.pk}" in removal.error_message
    duplication.refresh_from_db()
    assert duplication.display_status == "partly_removed"
    assert model.objects.filter(pk=added.pk).exists()

    forced = remove(duplication, even_if_changed=True)

    assert (forced, forced.status) == (removal, "completed")
    assert Episode.objects.get() == duplication.episode


@pytest.mark.parametrize("model", [Block, Item, Part])
def test_undo_of_a_copy_goes_on_when_what_was_added_meanwhile_is_elsewhere(model):
    duplication = duplicate(make_episode(parts=1, items=2, blocks=2))
    removal, _ = start_removal(duplication=duplication, requested_by=None)
    run_stage(removal, "check")
    added = added_below(duplication.new_episode, model)
    run_to_end(removal)
    field = PARENT_FIELDS[model]
    elsewhere = model._meta.get_field(field).related_model.objects.filter(orig_id=None).first()
    model.objects.filter(pk=added.pk).update(**{field: elsewhere})

    control.retry(REMOVAL, removal)
    run_to_end(removal)

    assert removal.status == "completed", removal.error_message
    assert model.objects.filter(pk=added.pk).exists()


def test_clean_up_takes_what_was_added_to_a_copy_that_was_never_seen():
    duplication = failed_after(make_episode(parts=1, items=1, blocks=2), "blocks")
    added_below(duplication.new_episode, Block)
    removal = remove(duplication)
    assert removal.status == "completed", removal.error_message
    assert Block.objects.count() == 2


def added_below(copy, model):
    """A row that the doors wouldn't let in."""
    if model is Part:
        return PartFactory(episode=copy)
    if model is Item:
        return ItemFactory(part=copy.parts.first())
    return BlockFactory(item=Item.objects.filter(part__episode=copy).first())


@pytest.mark.parametrize(("above", "level"), CHILD_LEVELS, ids=lambda level: level.stage)
@pytest.mark.usefixtures("no_statistics")
def test_chunk_reads_no_row_but_its_own_without_any_statistics(above, level):
    make_episode(parts=4, items=8, blocks=8)
    duplication = duplicate(make_episode(parts=6, items=4, blocks=4))
    parameters = {"duplication": duplication.pk, "after": 0, "size": 4}
    for sql in (release_sql(above, level), delete_sql(level)):
        assert_along_indexes(sql, parameters)
    assert (
        IdMap.objects.filter(type=level.node).count()
        == level.model.objects.filter(orig_id__isnull=False).count()
    )


@pytest.mark.parametrize("model", [Episode, Part, Item])
@pytest.mark.usefixtures("no_statistics")
def test_looking_for_added_rows_goes_along_the_indexes(model):
    make_episode(parts=4, items=8, blocks=8)
    ids = list(model.objects.values_list("pk", flat=True)[:3])
    for below in CONTENT[CONTENT.index(model) + 1 :]:
        found = descendants(below, model, ids).order_by().values_list("pk", flat=True)[:5]
        sql, parameters = found.query.sql_with_params()
        assert_along_indexes(sql, parameters)


def assert_along_indexes(sql, parameters):
    with transaction.atomic(), connection.cursor() as cursor:
        plan_for_deleting(cursor)
        cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {sql}", parameters)
        plan = "\n".join(line for (line,) in cursor.fetchall())
        transaction.set_rollback(True)
    for costly in (
        "Seq Scan",
        "Hash Join",
        "Merge Join",
        "Sort",
        "Removed by Join Filter",
        "Materialize",
    ):
        assert costly not in plan, plan
    assert "Index" in plan, plan


def duplicate_up_to(episode, stage) -> Duplication:
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_stage(duplication, stage)
    return duplication


def failed_after(episode, stage) -> Duplication:
    duplication = duplicate_up_to(episode, stage)
    job = duplication.jobs.exclude(status="completed").first()
    control.fail(DUPLICATION, job, code="test", message="Failed for a test.", trace="")
    duplication.refresh_from_db()
    return duplication
