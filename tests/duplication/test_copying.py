import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from content.models import Block, Episode, Item, Part
from content.services import delete_episode
from content.synthetic import make_episode
from duplication import measuring
from duplication.copying import DuplicateBase
from duplication.models import IdMap
from duplication.services import start_duplication
from operations import runner
from tests.duplication.driving import duplicate, job_of, rows, run_stage, run_to_end, tree
from tests.factories.content import (
    BlockFactory,
    EpisodeFactory,
    ItemFactory,
    PartFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db


def test_copy_is_equal_and_separate():
    episode = make_episode(parts=3, items=4, blocks=5)

    duplication = duplicate(episode)

    copy = duplication.new_episode
    assert duplication.status == "completed"
    assert tree(copy) == tree(episode)
    assert rows(copy) == rows(episode) == (3, 12, 60)
    ids = Block.objects.filter(item__part__episode=episode).values_list("pk", flat=True)
    copied = Block.objects.filter(item__part__episode=copy)
    assert set(copied.values_list("orig_id", flat=True)) == set(ids)
    assert not set(copied.values_list("pk", flat=True)) & set(ids)


def test_copy_root_takes_over_the_type_and_resets_the_rest():
    user = UserFactory()
    episode = EpisodeFactory(
        title="Weekly",
        owner=UserFactory(),
        type=Episode.Type.DIALOGUE,
        status=Episode.Status.PUBLISHED,
        audio_url="https://example.org/a.mp3",
        generation_status=Episode.GenerationStatus.COMPLETED,
        generation_job_id="7",
        generation_progress=100,
        generation_completed_at=timezone.now(),
    )

    copy = duplicate(episode, requested_by=user).new_episode

    assert (copy.title, copy.owner, copy.orig_id) == ("Weekly (copy)", user, episode.pk)
    assert (copy.type, copy.status, copy.audio_url) == ("dialogue", "draft", "")
    assert (copy.generation_status, copy.generation_progress) == ("PENDING", 0)
    assert (copy.generation_job_id, copy.generation_completed_at) == (None, None)
    assert copy.created_at > episode.created_at


def test_copy_episode_without_parts_completes():
    duplication = duplicate(EpisodeFactory())
    assert duplication.status == "completed"
    assert rows(duplication.new_episode) == (0, 0, 0)


def test_copy_order_survives_even_where_ids_say_otherwise():
    item = ItemFactory()
    for position, name in [(2, "third"), (0, "first"), (1, "second"), (1, "second again")]:
        BlockFactory(item=item, position=position, name=name)

    copy = duplicate(item.part.episode).new_episode

    names = [block.name for block in Item.objects.get(part__episode=copy).blocks.all()]
    assert names == ["first", "second", "second again", "third"]


def test_copy_null_and_empty_text_stay_apart():
    item = ItemFactory()
    BlockFactory(item=item, field_1=None, field_2="", field_3=None, media="")
    copy = duplicate(item.part.episode).new_episode
    block = Block.objects.get(item__part__episode=copy)
    assert (block.field_1, block.field_2, block.field_3, block.media) == (None, "", None, "")


def test_id_map_says_which_row_became_which():
    episode = make_episode(parts=2, items=2, blocks=2)
    duplication = duplicate(episode)

    for node, model in [("part", Part), ("item", Item), ("block", Block)]:
        pairs = IdMap.objects.filter(duplication=duplication, type=node)
        for org_id, new_id in pairs.values_list("org_id", "new_id"):
            assert model.objects.get(pk=new_id).orig_id == org_id
    assert IdMap.objects.filter(duplication=duplication).count() == 1 + 2 + 4 + 8


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize("size", [1, 3, 7, 1_000])
def test_copy_in_chunks_of_any_size_is_the_same(monkeypatch, size, skewed):
    monkeypatch.setattr(DuplicateBase, "initial_size", size)
    monkeypatch.setattr(DuplicateBase, "min_size", size)
    monkeypatch.setattr(DuplicateBase, "max_size", size)
    episode = make_episode(parts=2, items=3, blocks=4, skewed=skewed)

    duplication = duplicate(episode)

    assert tree(duplication.new_episode) == tree(episode)
    blocks = job_of(duplication, "blocks")
    assert blocks.steps - 1 == 24 // size + 1


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize("lanes", [2, 3, 5])
def test_copy_in_lanes_is_the_same_and_shares_the_rows(monkeypatch, lanes, skewed):
    monkeypatch.setattr(measuring, "MIN_ROWS_PER_LANE", 10)
    episode = make_episode(parts=3, items=4, blocks=10, skewed=skewed)

    duplication = duplicate(episode, lanes=lanes)

    assert tree(duplication.new_episode) == tree(episode)
    jobs = duplication.jobs.filter(stage="blocks")
    counts = [job.counts["rows"] for job in jobs]
    assert sum(counts) == 120
    assert len(counts) == lanes
    assert max(counts) - min(counts) <= 1


def test_copy_small_level_has_one_lane_and_one_statement():
    duplication = duplicate(make_episode(parts=2, items=2, blocks=2), lanes=4)
    assert [job.lane for job in duplication.jobs.filter(stage="blocks")] == [0]
    # One step to open the level, one that copies all of it.
    assert job_of(duplication, "blocks").steps == 2


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    shape=st.lists(st.lists(st.integers(0, 6), max_size=4), max_size=4),
    size=st.integers(1, 8),
    lanes=st.integers(1, 4),
)
def test_copy_any_shape_in_any_chunks_is_equal(monkeypatch, shape, size, lanes):
    monkeypatch.setattr(measuring, "MIN_ROWS_PER_LANE", 2)
    for name in ("initial_size", "min_size", "max_size"):
        monkeypatch.setattr(DuplicateBase, name, size)
    episode = EpisodeFactory()
    for items in shape:
        part = PartFactory(episode=episode)
        for blocks in items:
            item = ItemFactory(part=part)
            BlockFactory.create_batch(blocks, item=item)

    duplication = duplicate(episode, lanes=lanes)

    assert duplication.status == "completed", duplication.error_message
    assert tree(duplication.new_episode) == tree(episode)


def test_copy_rows_added_during_the_copy_do_not_appear():
    episode = make_episode(parts=2, items=2, blocks=2)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    before = tree(episode)
    run_stage(duplication, "episode")
    BlockFactory(item=ItemFactory(part=PartFactory(episode=episode)))
    BlockFactory(item=Item.objects.filter(part__episode=episode).first())

    run_to_end(duplication)

    assert duplication.status == "completed"
    assert tree(duplication.new_episode) == before


def test_copy_that_is_being_made_is_invisible():
    duplication, _ = start_duplication(
        episode_id=make_episode(parts=1, items=1, blocks=1).pk, requested_by=None
    )
    run_stage(duplication, "blocks")

    copy = duplication.new_episode
    assert copy.status == "copying"
    assert not Episode.objects.visible().filter(pk=copy.pk).exists()


def test_copy_original_deleted_meanwhile_fails_with_a_clear_error():
    episode = make_episode(parts=2, items=2, blocks=2)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_stage(duplication, "parts")
    delete_episode(episode=episode)

    run_to_end(duplication)

    assert duplication.status == "failed"
    assert duplication.error_code == "original_episode_not_found"
    assert "was deleted before its copy was complete" in duplication.error_message


def test_copy_original_deleted_before_it_began_fails_with_a_clear_error():
    episode = make_episode(parts=1, items=1, blocks=1)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    delete_episode(episode=episode)

    run_to_end(duplication)

    assert duplication.error_code == "original_episode_not_found"


def test_copy_counting_that_takes_too_long_goes_on_without_a_total(monkeypatch):
    monkeypatch.setattr(measuring, "MIN_ROWS_PER_LANE", 1)
    monkeypatch.setattr(measuring, "COUNT_TIMEOUT_MS", 1)
    original = measuring._measure

    def slow(cursor, *arguments):
        cursor.execute("SELECT pg_sleep(1)")
        return original(cursor, *arguments)

    monkeypatch.setattr(measuring, "_measure", slow)
    episode = make_episode(parts=2, items=2, blocks=2)

    duplication = duplicate(episode, lanes=3)

    assert duplication.status == "completed"
    assert (
        duplication.progress["blocks"] | {"total": None, "done": 8}
        == (duplication.progress["blocks"])
    )
    assert duplication.jobs.filter(stage="blocks").count() == 1


def test_copy_statements_do_not_grow_with_the_rows():
    def queries(blocks):
        episode = make_episode(parts=1, items=1, blocks=blocks)
        with CaptureQueriesContext(connection) as captured:
            duplicate(episode)
        return len(captured)

    queries(1)  # creates the switch
    assert queries(1_000) == queries(10)


def test_events_carry_the_payloads_a_watcher_needs(driver_events):
    episode = make_episode(parts=1, items=2, blocks=3)
    duplication = duplicate(episode)

    events = driver_events(duplication)

    assert {event.payload["id"] for event in events} == {duplication.pk}
    started, *_, completed = events
    assert started.name == "duplication.started"
    assert "started_at" in started.payload
    assert completed.name == "duplication.completed"
    assert completed.payload["new_episode_id"] == duplication.new_episode_id
    assert "completed_at" in completed.payload
    amounts = {
        stage: sum(
            event.payload["amount"]
            for event in events
            if event.name == "duplication.progress" and event.stage == stage
        )
        for stage in ("episode", "parts", "items", "blocks")
    }
    assert amounts == {"episode": 1, "parts": 1, "items": 2, "blocks": 6}
    messages = [e.payload["message"] for e in events if e.name == "duplication.feedback"]
    assert "parts duplication started" in messages
    assert "blocks finished duplicating" in messages


def test_log_channel_names_the_duplication_the_job_and_the_chunk(caplog):
    caplog.set_level("DEBUG", logger="duplication")
    duplication = duplicate(make_episode(parts=1, items=1, blocks=3))

    chunks = [r.fields for r in caplog.records if r.getMessage() == "Chunk committed"]
    blocks = [fields for fields in chunks if fields["job_class"] == "DuplicateBlocks"]
    assert blocks[1]["duplication_id"] == duplication.pk
    assert blocks[1]["org_episode_id"] == duplication.org_episode_id
    assert blocks[1]["chunk_number"] == 1
    assert blocks[1]["counts"]["rows"] == 3


@pytest.fixture
def three_at_a_time(monkeypatch, settings):
    """One chunk of three rows a run."""
    settings.OPERATION_TIME_BUDGET_SECONDS = 0
    for name in ("initial_size", "min_size", "max_size"):
        monkeypatch.setattr(DuplicateBase, name, 3)


def test_copy_block_moved_to_an_item_that_is_still_to_come_is_copied_once(three_at_a_time):
    episode = make_episode(parts=1, items=2, blocks=3)
    first, second = Item.objects.filter(part__episode=episode).order_by("pk")
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_stage(duplication, "items")
    job = job_of(duplication, "blocks")
    for _ in range(2):
        runner.run("duplication", job.pk)  # counts the level, copies the first item's blocks
    moved, *_ = Block.objects.filter(item=first).order_by("pk")
    Block.objects.filter(pk=moved.pk).update(item=second)

    run_to_end(duplication)

    assert duplication.status == "completed", duplication.error_message
    assert rows(duplication.new_episode) == (1, 2, 6)
    job.refresh_from_db()
    assert job.counts["rows"] == duplication.progress["blocks"]["done"] == 6
    drift = duplication.drift_findings.get()
    assert (drift.change, drift.type, drift.org_id) == ("edited", "block", moved.pk)


def test_copy_item_moved_to_a_part_that_is_still_to_come_is_copied_once(three_at_a_time):
    episode = make_episode(parts=2, items=3, blocks=1)
    _, second = Part.objects.filter(episode=episode).order_by("pk")
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_stage(duplication, "parts")
    for _ in range(2):
        runner.run("duplication", job_of(duplication, "items").pk)
    moved = Item.objects.filter(part__episode=episode).order_by("pk").first()
    Item.objects.filter(pk=moved.pk).update(part=second)

    run_to_end(duplication)

    assert duplication.status == "completed", duplication.error_message
    assert rows(duplication.new_episode) == (2, 6, 6)
    assert list(duplication.drift_findings.values_list("change", "org_id")) == [
        ("edited", moved.pk)
    ]
