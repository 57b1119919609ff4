import random
import string

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from content.links import linked_ids
from content.models import Block, Item
from duplication.links import LINK, RewriteLinks
from duplication.services import start_duplication
from tests.duplication.driving import duplicate, run_stage, run_to_end
from tests.factories.content import BlockFactory, EpisodeFactory, ItemFactory, PartFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def episode():
    episode = EpisodeFactory()
    for _ in range(2):
        part = PartFactory(episode=episode)
        for _ in range(2):
            BlockFactory.create_batch(2, item=ItemFactory(part=part))
    return episode


def blocks(episode):
    return Block.objects.filter(item__part__episode=episode).order_by("pk")


def copy_of(duplication, block):
    return blocks(duplication.new_episode).get(orig_id=block.pk)


def test_links_in_every_direction_point_into_the_copy(episode):
    first, *_, last = blocks(episode)
    part, item = first.item.part, last.item
    first.field_2 = f"<a href='content:block/{last.pk}'>on</a> content:item/{item.pk}, back"
    first.field_3 = f"content:part/{part.pk}"
    first.save()
    last.field_1 = f"content:block/{first.pk}content:block/{last.pk}"
    last.save()
    item.name = f"See content:block/{first.pk}."
    item.save()

    duplication = duplicate(episode)

    new_first, new_last = copy_of(duplication, first), copy_of(duplication, last)
    new_item = Item.objects.get(part__episode=duplication.new_episode, orig_id=item.pk)
    assert new_first.field_2 == (
        f"<a href='content:block/{new_last.pk}'>on</a> content:item/{new_item.pk}, back"
    )
    assert new_first.field_3 == f"content:part/{new_first.item.part_id}"
    assert new_item.name == f"See content:block/{new_first.pk}."
    assert duplication.status == "completed"
    # Two links without a space between them are one word and no link.
    assert duplication.report["links"]["rewritten"] == 4


def test_links_to_elsewhere_and_to_nothing_stay(episode):
    elsewhere = BlockFactory()
    first = blocks(episode).first()
    first.field_2 = (
        f"content:block/{elsewhere.pk} content:item/999999999 content:block/007 content:x"
    )
    first.save()

    duplication = duplicate(episode)

    assert copy_of(duplication, first).field_2 == first.field_2
    assert duplication.report["links"] == {
        "rewritten": 0,
        "external": 1,
        "unresolved": 2,
        "original": 0,
    }


def test_links_original_is_not_touched(episode):
    first, *_ = blocks(episode)
    first.field_2 = f"content:block/{first.pk}"
    first.save()
    duplicate(episode)
    first.refresh_from_db()
    assert first.field_2 == f"content:block/{first.pk}"


def test_links_copy_of_a_copy_points_into_itself(episode):
    first = blocks(episode).first()
    first.field_2 = f"content:block/{first.pk}"
    first.save()
    copy = duplicate(episode).new_episode

    second = duplicate(copy)

    block = copy_of(second, blocks(copy).get(orig_id=first.pk))
    assert block.field_2 == f"content:block/{block.pk}"


def test_links_rows_without_a_link_are_not_looked_at(episode):
    first = blocks(episode).first()
    first.field_2 = f"content:block/{first.pk}"
    first.save()
    duplication = duplicate(episode)
    assert duplication.jobs.get(stage="links").counts["rows"] == 1


def test_links_in_chunks_of_one_are_all_rewritten(episode, monkeypatch):
    for name in ("initial_size", "min_size", "max_size"):
        monkeypatch.setattr(RewriteLinks, name, 1)
    for block in blocks(episode):
        block.field_2 = f"content:item/{block.item_id}"
        block.save()

    duplication = duplicate(episode)

    for block in blocks(duplication.new_episode):
        assert block.field_2 == f"content:item/{block.item_id}"


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    text=st.lists(
        st.sampled_from(["content:", "part/", "item/", "block/", *"0179.a- ~/é"]),
        max_size=12,
    ).map("".join)
)
def test_link_pattern_finds_what_content_finds(db, text):
    """One meaning of a link, in two dialects."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT m FROM regexp_matches(%s, %s, 'g') AS m", [text, LINK])
        found = [(level, int(key)) for ((level, key),) in cursor.fetchall()]
    assert found == linked_ids(text)


def findings(duplication):
    return {
        (found.points_to, str(found.link), found.field, found.target_episode_id)
        for found in duplication.link_findings.all()
    }


def test_links_left_as_they_are_are_listed_once_per_field_with_where_they_lead(episode):
    elsewhere = BlockFactory()
    other = elsewhere.item.part.episode_id
    first = blocks(episode).first()
    first.field_1 = f"content:part/{elsewhere.item.part_id}, content:item/{elsewhere.item_id}."
    first.field_2 = f"content:block/{elsewhere.pk} and again content:block/{elsewhere.pk}"
    first.field_3 = f"content:item/999999999 content:block/intro.. content:block/{first.pk}"
    first.save()

    duplication = duplicate(episode)

    assert findings(duplication) == {
        ("external", f"content:part/{elsewhere.item.part_id}", "field_1", other),
        ("external", f"content:item/{elsewhere.item_id}", "field_1", other),
        ("external", f"content:block/{elsewhere.pk}", "field_2", other),
        ("unresolved", "content:item/999999999", "field_3", None),
        ("unresolved", "content:block/intro", "field_3", None),
    }
    assert {found.new_id for found in duplication.link_findings.all()} == {
        copy_of(duplication, first).pk
    }
    assert duplication.report["links"] == {
        "rewritten": 1,
        "external": 4,
        "unresolved": 2,
        "original": 0,
    }


def test_links_left_pointing_into_the_original_fail_the_verification(episode):
    first, *_, last = blocks(episode)
    first.field_2 = f"content:block/{last.pk}"
    first.save()
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_stage(duplication, "links")
    copy_of(duplication, first)
    Block.objects.filter(orig_id=first.pk).update(field_2=f"content:block/{last.pk}")

    run_to_end(duplication)

    assert (duplication.status, duplication.error_code) == ("failed", "verification_failed")
    assert "1 links of the copy still point into the original" in duplication.error_message


@pytest.fixture
def longer_ids(episode):
    """The copy's ids have more digits than the original's."""
    tables = ("parts", "items", "blocks")
    with connection.cursor() as cursor:
        before = []
        for table in tables:
            cursor.execute(f"SELECT last_value FROM {table}_id_seq")
            before.append(cursor.fetchone()[0])
            cursor.execute("SELECT setval(%s, 5000000000)", [f"{table}_id_seq"])
        yield
        # A sequence's value isn't rolled back.
        for table, value in zip(tables, before, strict=True):
            cursor.execute("SELECT setval(%s, %s)", [f"{table}_id_seq", value])


def test_links_that_a_field_has_no_room_for_stay_and_are_listed(episode, longer_ids):
    elsewhere = BlockFactory()
    first, second, *_ = blocks(episode)
    first.name = f"content:block/{second.pk} content:block/{elsewhere.pk} ".ljust(255, "x")
    first.field_1 = f"content:block/{second.pk}"
    first.save()

    duplication = duplicate(episode)

    copy = copy_of(duplication, first)
    assert duplication.status == "completed", duplication.error_message
    assert copy.name == first.name
    assert copy.field_1 == f"content:block/{copy_of(duplication, second).pk}"
    assert findings(duplication) == {
        ("original", f"content:block/{second.pk}", "name", episode.pk),
        ("external", f"content:block/{elsewhere.pk}", "name", elsewhere.item.part.episode_id),
    }
    assert duplication.report["links"] == {
        "rewritten": 1,
        "external": 1,
        "unresolved": 0,
        "original": 1,
    }
    assert not duplication.drift_findings.exists()


def test_links_that_a_field_has_just_room_for_are_rewritten(episode, longer_ids):
    first, *_ = blocks(episode)
    digits = 10 - len(str(first.pk))
    first.name = f"content:block/{first.pk} ".ljust(255 - digits, "x")
    first.save()

    duplication = duplicate(episode)

    copy = copy_of(duplication, first)
    assert copy.name.startswith(f"content:block/{copy.pk} ")
    assert len(copy.name) == 255
    assert findings(duplication) == set()


def test_links_other_one_to_the_same_row_left_in_a_full_row_fails_the_verification(
    episode, longer_ids
):
    """What is listed is excused, field by field."""
    first, second, *_ = blocks(episode)
    first.name = f"content:block/{second.pk} ".ljust(255, "x")
    first.save()
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_stage(duplication, "links")
    Block.objects.filter(orig_id=first.pk).update(field_2=f"content:block/{second.pk}")

    run_to_end(duplication)

    assert duplication.error_code == "verification_failed"
    assert "1 links of the copy still point into the original" in duplication.error_message


def test_links_with_a_key_longer_than_an_index_has_room_for_are_listed(episode):
    key = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=9_000))
    first, *_ = blocks(episode)
    first.field_1 = f"content:item/{key} content:item/{key}"
    first.save()

    duplication = duplicate(episode)

    assert duplication.status == "completed", duplication.error_message
    assert duplication.link_findings.get().target_key == key


def test_links_to_a_row_added_to_the_original_since_are_told(episode, driver_events):
    first, *_ = blocks(episode)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_stage(duplication, "items")
    added = BlockFactory(item=first.item)
    first.field_1 = f"content:block/{added.pk}"
    first.save()

    run_to_end(duplication)

    assert duplication.status == "completed"
    assert findings(duplication) == {
        ("original", f"content:block/{added.pk}", "field_1", episode.pk)
    }
    assert duplication.report["links"]["original"] == 1
    told = [event.payload.get("message", "") for event in driver_events(duplication)]
    assert any("links that lead into the original still (1)" in message for message in told)
