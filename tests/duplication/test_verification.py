"""What the verification must find: each test breaks a copy in one way before it is verified."""

import threading

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from content.models import Block, Episode, Item, Part
from content.synthetic import make_episode
from duplication.kind import DUPLICATION
from duplication.models import IdMap
from duplication.services import start_duplication
from duplication.verification import VerifyCopy
from duplication.walk import row_hash_sql
from operations import control
from tests.duplication.driving import run_stage, run_to_end
from tests.factories.content import BlockFactory, ItemFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def copied():
    """A duplication whose rows are copied and not verified yet."""
    episode = make_episode(parts=2, items=3, blocks=4)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_stage(duplication, "links")
    return duplication


def blocks(episode):
    return Block.objects.filter(item__part__episode=episode).order_by("pk")


def differences(duplication):
    return {
        level["stage"]: level["differences"]
        for level in duplication.report["levels"]
        if level["differences"]
    }


def test_verify_faithful_copy_is_complete_and_visible(copied):
    run_to_end(copied)

    assert copied.status == "completed"
    assert copied.report["verified"] is True
    assert [(level["source"], level["copy"]) for level in copied.report["levels"]] == [
        (1, 1),
        (2, 2),
        (6, 6),
        (24, 24),
    ]
    assert copied.new_episode.status == "draft"


@pytest.mark.parametrize("size", [1, 5, 24])
def test_verify_in_chunks_of_any_size_says_the_same(copied, monkeypatch, size):
    for name in ("initial_size", "min_size", "max_size"):
        monkeypatch.setattr(VerifyCopy, name, size)
    run_to_end(copied)
    assert copied.report["verified"] is True
    assert copied.progress["verify"]["done"] == copied.progress["verify"]["total"] == 32


def lose_a_block(duplication):
    blocks(duplication.new_episode).first().delete()


def add_a_block(duplication):
    BlockFactory(item=Item.objects.filter(part__episode=duplication.new_episode).first())


def lose_one_and_add_one(duplication):
    lose_a_block(duplication)
    add_a_block(duplication)


def change_a_text(duplication):
    blocks(duplication.new_episode).filter(pk=blocks(duplication.new_episode)[5].pk).update(
        field_2="changed"
    )


def empty_text_to_null(duplication):
    block = blocks(duplication.new_episode).first()
    Block.objects.filter(pk=block.pk).update(field_2=None)


def swap_two_blocks(duplication):
    first, second = blocks(duplication.new_episode)[:2]
    Block.objects.filter(pk=first.pk).update(position=second.position)
    Block.objects.filter(pk=second.pk).update(position=first.position)


def swap_two_texts(duplication):
    first, *_, last = blocks(duplication.new_episode)
    Block.objects.filter(pk=first.pk).update(field_2=last.field_2)
    Block.objects.filter(pk=last.pk).update(field_2=first.field_2)


def move_a_block_to_another_item(duplication):
    block = blocks(duplication.new_episode).first()
    other = Item.objects.filter(part__episode=duplication.new_episode).exclude(pk=block.item_id)
    Block.objects.filter(pk=block.pk).update(item=other.first())


def move_a_block_out_of_the_copy(duplication):
    block = blocks(duplication.new_episode).first()
    Block.objects.filter(pk=block.pk).update(item=ItemFactory())


def wrong_orig_id(duplication):
    block = blocks(duplication.new_episode).first()
    Block.objects.filter(pk=block.pk).update(orig_id=block.orig_id + 1_000)


def swap_the_map(duplication):
    first, second = IdMap.objects.filter(duplication=duplication, type="block")[:2]
    for entry, new_id in ((first, second.new_id), (second, first.new_id)):
        IdMap.objects.filter(pk=entry.pk).update(new_id=new_id)


def forget_a_pair(duplication):
    entry = IdMap.objects.filter(duplication=duplication, type="block").first()
    IdMap.objects.filter(pk=entry.pk).delete()


@pytest.mark.parametrize(
    "breakage",
    [
        lose_a_block,
        add_a_block,
        lose_one_and_add_one,
        change_a_text,
        empty_text_to_null,
        swap_two_blocks,
        swap_two_texts,
        move_a_block_to_another_item,
        move_a_block_out_of_the_copy,
        wrong_orig_id,
        swap_the_map,
        forget_a_pair,
    ],
)
def test_verify_broken_copy_fails_says_where_and_stays_invisible(copied, breakage):
    breakage(copied)

    run_to_end(copied)

    assert copied.status == "failed"
    assert copied.error_code == "verification_failed"
    assert "blocks:" in copied.error_message
    assert copied.report["verified"] is False
    assert "blocks" in differences(copied)
    assert copied.new_episode.status == "copying"


def test_verify_changed_root_is_found(copied):
    Episode.objects.filter(pk=copied.new_episode_id).update(type="dialogue")
    run_to_end(copied)
    assert "episode" in differences(copied)


def test_verify_changed_item_is_found_on_its_level(copied):
    item = Item.objects.filter(part__episode=copied.new_episode).first()
    Item.objects.filter(pk=item.pk).update(name="other")
    run_to_end(copied)
    assert list(differences(copied)) == ["items"]


@pytest.mark.django_db(transaction=True)
def test_verify_row_of_the_original_that_was_left_out_is_named(copied):
    """As if a chunk had skipped it: it was there when the copy began."""
    victim = blocks(copied.episode)[3]
    entry = IdMap.objects.get(duplication=copied, type="block", org_id=victim.pk)
    Block.objects.filter(pk=entry.new_id).delete()
    IdMap.objects.filter(pk=entry.pk).delete()

    run_to_end(copied)

    found = differences(copied)["blocks"]
    assert any(f"left out: block {victim.pk}" in difference for difference in found)


def test_verify_edit_of_the_original_during_the_copy_is_no_difference(copied):
    blocks(copied.episode).update(field_2="edited since")
    run_to_end(copied)
    assert copied.status == "completed"


def test_verify_rows_gone_from_the_original_since_are_counted(copied):
    blocks(copied.episode).filter(pk__in=[b.pk for b in blocks(copied.episode)[:3]]).delete()
    run_to_end(copied)
    assert copied.status == "completed"
    assert copied.report["levels"][-1]["gone_since"] == 3


@pytest.mark.django_db(transaction=True)
def test_verify_row_committed_after_the_copy_began_is_counted_and_not_copied():
    """Its transaction had taken an id below the high-water mark before the copy began."""
    episode = make_episode(parts=2, items=3, blocks=4)
    item = Item.objects.filter(part__episode=episode).last()
    written, may_commit = threading.Event(), threading.Event()

    def write():
        with transaction.atomic():
            BlockFactory(item=item)
            written.set()
            may_commit.wait(timeout=60)
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    written.wait(timeout=30)
    BlockFactory()  # elsewhere, with a larger id, and committed
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_stage(duplication, "links")
    may_commit.set()
    writer.join(timeout=30)

    run_to_end(duplication)

    assert duplication.status == "completed", duplication.error_message
    assert duplication.report["levels"][-1]["arrived_since"] == 1
    assert blocks(duplication.new_episode).count() == 24


def test_verify_again_after_the_copy_was_mended_looks_at_everything_anew(copied):
    block = blocks(copied.new_episode).first()
    Block.objects.filter(pk=block.pk).update(field_1="broken")
    run_to_end(copied)
    assert copied.status == "failed"
    Block.objects.filter(pk=block.pk).update(field_1=block.field_1)

    control.retry(DUPLICATION, copied)
    run_to_end(copied)

    assert copied.status == "completed"
    assert copied.report["verified"] is True


def test_verify_every_parent_is_inside_the_copy(copied):
    part = Part.objects.filter(episode=copied.new_episode).first()
    outside = make_episode(parts=1, items=1, blocks=1)
    Part.objects.filter(pk=part.pk).update(episode=outside)
    run_to_end(copied)
    assert {"parts"} <= set(differences(copied))


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    first=st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)),
    second=st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)),
)
def test_row_hash_two_rows_that_swap_a_value_have_another_sum(db, first, second):
    assume(first[0] != second[0] and first[1] != second[1])
    rows = "(VALUES (%s::bigint, %s::bigint), (%s, %s)) AS v(a, b)"
    total = f"SELECT sum({row_hash_sql('a', 'b')}) FROM {rows}"
    with connection.cursor() as cursor:
        cursor.execute(total, [*first, *second])
        before = cursor.fetchone()
        cursor.execute(total, [first[0], second[1], second[0], first[1]])
        assert cursor.fetchone() != before


def test_row_visibility_survives_the_wraparound_of_transaction_ids():
    """The 64-bit id of a row's 32-bit xmin is the largest one not in the future."""
    with connection.cursor() as cursor:
        for now, xmin, expected in [
            (1_000, 990, 990),
            (2**32 + 5, 3, 2**32 + 3),
            (2**32 + 5, 2**32 - 7, 2**32 - 7),
            (3 * 2**32 + 1, 2, 2 * 2**32 + 2),
        ]:
            cursor.execute(
                "SELECT %s::bigint - mod(%s::bigint - %s::bigint + 4294967296, 4294967296)",
                [now, now, xmin],
            )
            assert cursor.fetchone()[0] == expected
