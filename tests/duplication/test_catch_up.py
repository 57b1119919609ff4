"""Applying to the copy what was edited in the original while it was copied."""

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from content.models import Block, Episode, Item
from duplication.catch_up.kind import CATCH_UP, start_catch_up
from duplication.catch_up.work import ApplyEdits
from duplication.exceptions import CannotCatchUp
from duplication.models import DriftFinding
from duplication.services import start_duplication
from operations import control, runner
from operations.models import Event
from tests.duplication.driving import run_stage, run_to_end, tree
from tests.factories.content import BlockFactory, EpisodeFactory, ItemFactory, PartFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner():
    return get_user_model().objects.create_user("olga")


@pytest.fixture
def drifted(owner):
    """A complete copy whose original was edited, after it was read, by the calls it is given."""

    def make(*edits):
        episode = EpisodeFactory(owner=owner)
        for _ in range(2):
            item = ItemFactory(part=PartFactory(episode=episode))
            BlockFactory.create_batch(3, item=item)
        duplication, _ = start_duplication(episode_id=episode.pk, requested_by=owner)
        run_stage(duplication, "links")
        for edit in edits:
            edit(episode)
        run_to_end(duplication)
        assert duplication.status == "completed"
        return duplication

    return make


def block(episode, index):
    return Block.objects.filter(item__part__episode=episode).order_by("pk")[index]


def change(index, **fields):
    def edit(episode):
        Block.objects.filter(pk=block(episode, index).pk).update(**fields)

    return edit


def catch_up(duplication):
    started, _ = start_catch_up(duplication=duplication, requested_by=duplication.requested_by)
    while job := started.jobs.filter(status__in=["pending", "in_progress"]).first():
        runner.run(CATCH_UP.name, job.pk)
    started.refresh_from_db()
    return started


def states(duplication):
    return sorted(duplication.drift_findings.values_list("change", "state"))


@pytest.mark.parametrize("size", [1, 2, 500])
def test_catch_up_applies_edits_of_every_level(drifted, monkeypatch, size):
    monkeypatch.setattr(ApplyEdits, "initial_size", size)
    monkeypatch.setattr(ApplyEdits, "min_size", size)
    duplication = drifted(
        *(change(index, field_1=f"New {index}", position=9 - index) for index in range(4)),
        lambda episode: Item.objects.filter(part__episode=episode).update(name="Other"),
    )
    assert tree(duplication.new_episode) != tree(duplication.episode)

    done = catch_up(duplication)

    assert done.status == "completed"
    assert tree(duplication.new_episode) == tree(duplication.episode)
    assert {state for _, state in states(duplication)} == {"applied"}
    completed = Event.objects.get(name="catch_up.completed")
    assert completed.payload["applied"] == 6


def to_dialogue(episode):
    Episode.objects.filter(pk=episode.pk).update(type="dialogue", title="Not copied")


def test_catch_up_applies_an_edit_of_the_episodes_own_row(drifted):
    duplication = drifted(to_dialogue, change(0, field_1="New"))

    done = catch_up(duplication)

    duplication.new_episode.refresh_from_db()
    assert duplication.new_episode.type == "dialogue"
    assert duplication.new_episode.title == duplication.title
    assert done.jobs.get().counts == {"applied": 2, "kept": 0, "gone": 0}
    assert done.progress["edits"]["done"] == done.progress["edits"]["total"] == 2


def test_catch_up_episode_edited_in_the_copy_as_well_is_kept_and_told(drifted):
    duplication = drifted(to_dialogue)
    # There are two types only: as if the copy's had been a third one when it was found.
    DriftFinding.objects.filter(duplication=duplication).update(copy_hash=0)

    catch_up(duplication)

    duplication.new_episode.refresh_from_db()
    assert duplication.new_episode.type == "solo"
    assert states(duplication) == [("edited", "kept")]


def test_catch_up_row_that_moved_moves_in_the_copy(drifted):
    def move(episode):
        Block.objects.filter(pk=block(episode, 0).pk).update(item=block(episode, 5).item)

    duplication = drifted(move)
    catch_up(duplication)
    copy = Block.objects.get(orig_id=block(duplication.episode, 0).pk)
    assert copy.item.part.episode_id == duplication.new_episode_id
    assert tree(duplication.new_episode) == tree(duplication.episode)


def test_catch_up_links_of_the_new_text_point_into_the_copy_and_the_rest_is_listed(drifted):
    def link(episode):
        text = f"content:block/{block(episode, 3).pk} content:block/999999999"
        Block.objects.filter(pk=block(episode, 0).pk).update(field_1=text)

    duplication = drifted(link)
    assert not duplication.link_findings.exists()

    catch_up(duplication)

    copy = Block.objects.get(orig_id=block(duplication.episode, 0).pk)
    target = Block.objects.get(orig_id=block(duplication.episode, 3).pk)
    assert copy.field_1 == f"content:block/{target.pk} content:block/999999999"
    found = duplication.link_findings.get()
    assert (found.new_id, found.points_to) == (copy.pk, "unresolved")


def test_catch_up_takes_what_the_original_says_now(drifted):
    duplication = drifted(change(0, field_1="First edit"))
    change(0, field_1="Second edit")(duplication.episode)
    catch_up(duplication)
    assert tree(duplication.new_episode) == tree(duplication.episode)


def test_catch_up_row_edited_in_the_copy_as_well_is_kept_and_told(drifted):
    duplication = drifted(change(0, field_1="Theirs"), change(1, field_1="Fine"))
    copy = Block.objects.get(orig_id=block(duplication.episode, 0).pk)
    Block.objects.filter(pk=copy.pk).update(field_2="Mine")

    done = catch_up(duplication)

    copy.refresh_from_db()
    assert (copy.field_1, copy.field_2) == (block(duplication.new_episode, 0).field_1, "Mine")
    assert copy.field_1 != "Theirs"
    assert states(duplication) == [("edited", "applied"), ("edited", "kept")]
    assert done.jobs.get().counts == {"applied": 1, "kept": 1, "gone": 0}


def test_catch_up_rows_that_are_gone_on_either_side_are_told(drifted):
    duplication = drifted(change(0, field_1="A"), change(1, field_1="B"))
    Block.objects.filter(pk=block(duplication.episode, 0).pk).delete()
    Block.objects.filter(orig_id=block(duplication.episode, 0).pk).delete()
    assert catch_up(duplication).status == "completed"
    assert states(duplication) == [("edited", "gone"), ("edited", "gone")]


def test_catch_up_leaves_deleted_rows_in_the_copy(drifted):
    duplication = drifted(
        lambda episode: Block.objects.filter(pk=block(episode, 0).pk).delete(),
        change(2, name="Edited"),
    )
    catch_up(duplication)
    assert Block.objects.filter(item__part__episode=duplication.new_episode).count() == 6
    assert ("deleted", "open") in states(duplication)


def test_catch_up_asked_for_twice_is_one(drifted):
    duplication = drifted(change(0, field_1="A"))
    first, created = start_catch_up(duplication=duplication, requested_by=None)
    again, created_again = start_catch_up(duplication=duplication, requested_by=None)
    assert (first.pk, created, created_again) == (again.pk, True, False)


def test_catch_up_paused_and_resumed_ends_the_same(drifted):
    duplication = drifted(change(0, field_1="A"))
    started, _ = start_catch_up(duplication=duplication, requested_by=None)
    control.request_pause(CATCH_UP, started)
    started.refresh_from_db()
    assert started.status == "paused"
    control.resume(CATCH_UP, started)
    catch_up(duplication)
    assert tree(duplication.new_episode) == tree(duplication.episode)


def test_catch_up_with_nothing_open_is_refused(drifted):
    duplication = drifted()
    with pytest.raises(CannotCatchUp, match="Nothing was edited"):
        start_catch_up(duplication=duplication, requested_by=None)


def test_catch_up_of_an_incomplete_copy_is_refused():
    duplication, _ = start_duplication(episode_id=EpisodeFactory().pk, requested_by=None)
    with pytest.raises(CannotCatchUp, match="only a complete copy"):
        start_catch_up(duplication=duplication, requested_by=None)


def test_catch_up_api_lists_starts_once_and_says_why_not(drifted, owner):
    duplication = drifted(change(0, field_1="A"))
    client = APIClient()
    client.force_authenticate(owner)
    url = f"/api/v1/duplications/{duplication.pk}"

    (found,) = client.get(f"{url}/drift?change=edited&state=open").json()["results"]
    assert found["org_id"] == block(duplication.episode, 0).pk

    started = client.post(f"{url}/catch-up")
    assert started.status_code == 202
    assert client.post(f"{url}/catch-up").status_code == 200
    assert client.get(started["Location"]).json()["verbs"] == ["pause", "cancel"]

    catch_up(duplication)
    refused = client.post(f"{url}/catch-up")
    assert (refused.status_code, refused.json()["code"]) == (409, "cannot_catch_up")


def test_catch_up_api_for_somebody_elses_copy_is_forbidden(drifted, owner):
    duplication = drifted(change(0, field_1="A"))
    duplication.new_episode.owner = get_user_model().objects.create_user("otto")
    duplication.new_episode.save()
    client = APIClient()
    client.force_authenticate(owner)
    assert client.post(f"/api/v1/duplications/{duplication.pk}/catch-up").status_code == 403
