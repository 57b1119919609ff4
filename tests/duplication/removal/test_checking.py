import pytest
from django.utils import timezone

from content.models import Block, Episode, Item
from content.services import update_episode
from content.synthetic import make_episode
from duplication.catch_up.kind import CATCH_UP, start_catch_up
from duplication.catch_up.work import ApplyEdits
from duplication.exceptions import CannotRemove
from duplication.mending import mend_link
from duplication.models import OwnEdit
from duplication.removal.changes import saved_since
from duplication.removal.checking import CheckCopy
from duplication.services import start_duplication
from operations import control, runner
from tests.duplication.driving import duplicate, remove, run_stage, run_to_end
from tests.factories.content import BlockFactory, EpisodeFactory, ItemFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def duplication():
    return duplicate(make_episode(parts=2, items=2, blocks=3))


def blocks_of(duplication):
    return Block.objects.filter(item__part__episode=duplication.new_episode).order_by("pk")


def refused(duplication):
    """The message of a removal that the check refused; the copy is there again."""
    removal = remove(duplication)
    assert (removal.status, removal.error_code) == ("failed", "changed_since")
    assert duplication.new_episode.status == "draft"
    assert duplication.deletion_began_at is None
    assert blocks_of(duplication).exists()
    return removal.error_message


@pytest.fixture(params=[1, 5, 1_000])
def any_size(request, monkeypatch):
    for name in ("initial_size", "min_size", "max_size"):
        monkeypatch.setattr(CheckCopy, name, request.param)


def test_check_copy_as_it_was_passes(duplication, any_size):
    assert remove(duplication).status == "completed"


def test_check_row_edited_by_sql_is_named(duplication, any_size):
    block = blocks_of(duplication)[4]
    Block.objects.filter(pk=block.pk).update(field_2="edited")
    assert f"block {block.pk} (edited)" in refused(duplication)


def test_check_row_added_by_sql_is_named(duplication, any_size):
    item = Item.objects.filter(part__episode=duplication.new_episode).first()
    added = BlockFactory(item=item)
    Block.objects.filter(pk=added.pk).update(updated_at=added.created_at)
    assert f"block {added.pk} (added)" in refused(duplication)


def test_check_row_deleted_by_sql_is_named(duplication, any_size):
    block = blocks_of(duplication)[2]
    blocks_of(duplication).filter(pk=block.pk).delete()
    assert f"block {block.pk} (deleted)" in refused(duplication)


def test_check_row_moved_out_by_sql_is_named(duplication):
    block = blocks_of(duplication)[2]
    blocks_of(duplication).filter(pk=block.pk).update(item=ItemFactory())
    assert f"block {block.pk} (moved away)" in refused(duplication)


def test_check_row_moved_within_the_copy_by_sql_is_named(duplication):
    block = blocks_of(duplication)[2]
    last = Item.objects.filter(part__episode=duplication.new_episode).last()
    Block.objects.filter(pk=block.pk).update(item=last)
    assert f"block {block.pk} (edited)" in refused(duplication)


def test_check_names_twenty_rows_at_most(monkeypatch):
    duplication = duplicate(make_episode(parts=1, items=5, blocks=10))
    blocks_of(duplication).update(field_2="edited")
    message = refused(duplication)
    assert message.count("(edited)") == 20
    assert "perhaps more" in message


def test_check_original_edited_after_the_copy_is_no_change_of_the_copy(duplication):
    original = Block.objects.filter(item__part__episode=duplication.episode).first()
    original.field_2 = "edited later"
    original.save()
    assert remove(duplication).status == "completed"


def test_check_row_edited_by_sql_whose_original_was_edited_too_is_named(duplication):
    block = blocks_of(duplication)[0]
    Block.objects.filter(pk=block.pk).update(field_2="edited")
    original = Block.objects.get(pk=block.orig_id)
    original.field_2 = "edited later"
    original.save()
    assert f"block {block.pk} (perhaps edited)" in refused(duplication)


def test_check_original_edited_while_it_was_copied_is_no_change_of_the_copy():
    episode = make_episode(parts=1, items=1, blocks=3)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_stage(duplication, "blocks")
    first, second, _ = Block.objects.filter(item__part__episode=episode)
    first.field_2 = "edited meanwhile"
    first.save()
    second.delete()
    run_to_end(duplication)
    assert duplication.status == "completed", duplication.error_message
    assert remove(duplication).status == "completed"


@pytest.fixture
def mended():
    """A copy in which a dead link was mended."""
    user = UserFactory(permissions=["view_episode", "change_episode"])
    episode = make_episode(parts=1, items=1, blocks=2)
    block = Block.objects.filter(item__part__episode=episode).first()
    block.field_2 = "see content:block/999999"
    block.save()
    duplication = duplicate(episode, requested_by=user)
    finding = duplication.link_findings.get()
    target = f"item/{Item.objects.get(part__episode=episode).pk}"
    mend_link(duplication=duplication, finding_id=finding.pk, target=target, by=user)
    finding.refresh_from_db()
    return duplication, finding


def test_check_mended_link_is_no_change(mended):
    duplication, finding = mended
    assert "content:item" in Block.objects.get(pk=finding.new_id).field_2
    assert remove(duplication).status == "completed"


def test_check_row_edited_after_its_link_was_mended_is_a_change(mended):
    duplication, finding = mended
    Block.objects.filter(pk=finding.new_id).update(field_1="edited", updated_at=timezone.now())
    removal_message = _quick_refusal(duplication)
    assert f"block {finding.new_id} (edited)" in removal_message


def test_check_row_that_caught_up_is_no_change():
    episode = make_episode(parts=1, items=1, blocks=3)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None)
    run_stage(duplication, "blocks")
    original = Block.objects.filter(item__part__episode=episode).first()
    original.field_2 = "edited meanwhile"
    original.save()
    run_to_end(duplication)
    catch_up, _ = start_catch_up(duplication=duplication, requested_by=None)
    run_to_end(catch_up)
    assert blocks_of(duplication).get(orig_id=original.pk).field_2 == "edited meanwhile"
    # Once more, so that a comparison with the original alone would find a difference.
    Block.objects.filter(pk=original.pk).update(field_2="edited by SQL")
    assert remove(duplication).status == "completed"


RENAMED = {"title": "Mine"}


@pytest.fixture
def caught_up_after():
    """Makes a copy whose own row took over an edit of the original's, after what it is given was
    done to the copy."""
    return make_caught_up


@pytest.fixture
def caught_up():
    return make_caught_up(lambda copy: None)


def make_caught_up(do):
    duplication, _ = start_duplication(
        episode_id=make_episode(parts=1, items=1, blocks=1).pk, requested_by=None
    )
    run_stage(duplication, "blocks")
    Episode.objects.filter(pk=duplication.org_episode_id).update(type="dialogue")
    run_to_end(duplication)
    do(duplication.new_episode)
    catch_up, _ = start_catch_up(duplication=duplication, requested_by=None)
    run_to_end(catch_up)
    duplication.new_episode.refresh_from_db()
    assert duplication.new_episode.type == "dialogue"
    return duplication


def test_check_episode_that_caught_up_is_no_change(caught_up):
    assert remove(caught_up).status == "completed"


def test_check_episode_edited_after_it_caught_up_is_a_change(caught_up):
    Episode.objects.filter(pk=caught_up.new_episode_id).update(type="solo")
    assert f"episode {caught_up.new_episode_id} (edited)" in _quick_refusal(caught_up)


def hand_edited(block, way):
    """An edit by a person, through a form or by SQL, which leaves the times alone."""
    block.field_3 = "hours of work"
    if way == "save":
        block.save()
    else:
        Block.objects.filter(pk=block.pk).update(field_3=block.field_3)


WAYS = pytest.mark.parametrize("way", ["save", "sql"])


@pytest.fixture
def to_mend():
    """A copy with a dead link, and a call that mends it, to a new target each time."""
    user = UserFactory(permissions=["view_episode", "change_episode"])
    episode = make_episode(parts=1, items=1, blocks=3)
    block = Block.objects.filter(item__part__episode=episode).first()
    block.field_2 = "see content:block/999999"
    block.save()
    duplication = duplicate(episode, requested_by=user)
    finding = duplication.link_findings.get()
    targets = iter(Block.objects.filter(item__part__episode=episode))

    def mend():
        target = f"block/{next(targets).pk}"
        mend_link(duplication=duplication, finding_id=finding.pk, target=target, by=user)

    return duplication, Block.objects.get(pk=finding.new_id), mend


@WAYS
def test_check_row_edited_before_its_link_was_mended_is_a_change(to_mend, way):
    duplication, block, mend = to_mend
    hand_edited(block, way)
    mend()
    assert f"block {block.pk} (edited)" in _quick_refusal(duplication)


@WAYS
def test_check_row_edited_between_two_mendings_is_a_change(to_mend, way):
    duplication, block, mend = to_mend
    mend()
    block.refresh_from_db()
    hand_edited(block, way)
    mend()
    assert f"block {block.pk} (edited)" in _quick_refusal(duplication)


def test_check_link_mended_twice_is_no_change(to_mend):
    duplication, _, mend = to_mend
    mend()
    mend()
    assert remove(duplication).status == "completed"


def test_check_row_edited_by_sql_beside_a_mended_one_is_named_though_its_original_was_too(to_mend):
    duplication, mended, mend = to_mend
    mend()
    other = blocks_of(duplication).exclude(pk=mended.pk).first()
    Block.objects.filter(pk=other.pk).update(field_3="hours of work")
    original = Block.objects.get(pk=other.orig_id)
    original.field_3 = "edited later"
    original.save()
    assert f"block {other.pk} (perhaps edited)" in refused(duplication)


@pytest.fixture
def pausing_catch_up(monkeypatch):
    """A copy whose catch-up was paused when it had brought over the episode's own row and one
    of two blocks; with a call that ends it."""
    for name in ("initial_size", "min_size", "max_size"):
        monkeypatch.setattr(ApplyEdits, name, 1)
    duplication, _ = start_duplication(
        episode_id=make_episode(parts=1, items=1, blocks=2).pk, requested_by=None
    )
    run_stage(duplication, "blocks")
    Episode.objects.filter(pk=duplication.org_episode_id).update(type="dialogue")
    Block.objects.filter(item__part__episode=duplication.org_episode_id).update(field_2="edited")
    run_to_end(duplication)
    catch_up, _ = start_catch_up(duplication=duplication, requested_by=None)
    job = catch_up.jobs.get()
    applied = duplication.drift_findings.filter(type="block", state="applied")
    while not applied.exists():
        runner.run("catch_up", job.pk, budget_seconds=0)
    control.request_pause(CATCH_UP, catch_up)
    duplication.new_episode.refresh_from_db()

    def end():
        control.resume(CATCH_UP, catch_up)
        run_to_end(catch_up)
        assert catch_up.status == "completed"

    return duplication, Block.objects.get(pk=applied.get().new_id), end


@WAYS
def test_check_row_edited_while_a_catch_up_was_paused_is_a_change(pausing_catch_up, way):
    duplication, block, end = pausing_catch_up
    hand_edited(block, way)
    end()
    assert f"block {block.pk} (edited)" in _quick_refusal(duplication)


@WAYS
def test_check_row_edited_after_it_caught_up_is_a_change(pausing_catch_up, way):
    duplication, block, end = pausing_catch_up
    end()
    hand_edited(block, way)
    assert f"block {block.pk} (edited)" in _quick_refusal(duplication)


def test_check_row_deleted_while_a_catch_up_was_paused_is_a_change(pausing_catch_up):
    duplication, block, end = pausing_catch_up
    Block.objects.filter(pk=block.pk).delete()
    end()
    assert f"block {block.pk} (deleted)" in refused(duplication)


def test_check_episode_renamed_while_a_catch_up_was_paused_is_a_change(pausing_catch_up):
    duplication, _, end = pausing_catch_up
    update_episode(episode=duplication.new_episode, changes={"title": "Mine"})
    end()
    assert f"episode {duplication.new_episode_id} (edited)" in _quick_refusal(duplication)


def test_check_episode_renamed_before_it_caught_up_is_a_change(caught_up_after):
    duplication = caught_up_after(lambda copy: update_episode(episode=copy, changes=RENAMED))
    assert duplication.new_episode.type == "dialogue"
    assert f"episode {duplication.new_episode_id} (edited)" in _quick_refusal(duplication)


def test_check_paused_catch_up_alone_is_no_change(pausing_catch_up):
    duplication, _, end = pausing_catch_up
    end()
    assert remove(duplication).status == "completed"


@pytest.mark.parametrize(
    "edit",
    [{"type": "dialogue"}, {"audio_url": "/mine.mp3"}, {"title": "Mine"}, {"generation_error": ""}],
    ids=lambda edit: next(iter(edit)),
)
def test_check_episode_changed_by_sql_is_a_change(duplication, edit):
    Episode.objects.filter(pk=duplication.new_episode_id).update(**edit)
    assert f"episode {duplication.new_episode_id} (edited)" in _quick_refusal(duplication)


def test_check_episode_of_a_copy_completed_before_hashes_were_kept_goes_by_its_times(duplication):
    OwnEdit.objects.filter(duplication=duplication).delete()
    episode = duplication.new_episode
    assert saved_since(duplication) == []
    episode.save()
    assert f"episode {episode.pk} (edited)" in _quick_refusal(duplication)


def test_check_link_edited_by_hand_is_a_change():
    """The sums leave out the ids that links point to: the row's times and text don't."""
    episode = make_episode(parts=1, items=1, blocks=2)
    first, second = Block.objects.filter(item__part__episode=episode)
    first.field_2 = f"see content:block/{second.pk}"
    first.save()
    duplication = duplicate(episode)
    block = blocks_of(duplication).get(orig_id=first.pk)
    Block.objects.filter(pk=block.pk).update(
        field_2=f"see content:block/{EpisodeFactory().pk}", updated_at=timezone.now()
    )
    assert f"block {block.pk} (edited)" in _quick_refusal(duplication)


def _quick_refusal(duplication):
    with pytest.raises(CannotRemove) as refusal:
        remove(duplication)
    return str(refusal.value)
