"""Applying to the copy what was edited in the original while it was copied."""

import pytest
from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.urls import reverse
from rest_framework.test import APIClient

from content.models import Block, Episode, Item
from duplication.catch_up.kind import CATCH_UP, start_catch_up
from duplication.catch_up.work import ApplyEdits
from duplication.exceptions import CannotCatchUp
from duplication.models import DriftFinding, IdMap
from duplication.removal.services import start_removal
from duplication.services import start_duplication
from operations import control, runner
from operations.models import Event
from tests.duplication.driving import remove, run_stage, run_to_end, tree
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
    assert done.jobs.get().counts == {"applied": 2, "kept": 0, "gone": 0, "open": 0}
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
    assert done.jobs.get().counts == {"applied": 1, "kept": 1, "gone": 0, "open": 0}


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


def test_catch_up_while_the_copy_is_removed_says_so_to_its_owner(drifted, owner, client):
    duplication = drifted(change(0, field_2="edited"))
    start_removal(duplication=duplication, requested_by=owner)
    api = APIClient()
    api.force_authenticate(owner)

    answer = api.post(f"/api/v1/duplications/{duplication.pk}/catch-up")

    assert answer.status_code == 409
    assert "is being removed" in answer.json()["detail"]
    owner.is_staff = True
    owner.save()
    client.force_login(owner)
    url = reverse("admin:duplication_duplication_catch_up", args=[duplication.pk])
    assert "is being removed" in client.post(url, follow=True).content.decode()
    assert not duplication.catch_ups.exists()


def test_catch_up_lists_links_into_the_original_that_came_with_an_edit(drifted):
    def link(episode):
        added = BlockFactory(item=block(episode, 0).item)
        change(0, field_1=f"content:block/{added.pk}")(episode)

    duplication = drifted(link)
    catch_up(duplication)

    found = duplication.link_findings.get()
    assert (found.points_to, found.target_episode_id) == ("original", duplication.org_episode_id)


def test_catch_up_text_that_has_no_room_for_the_copys_ids_keeps_the_originals(drifted):
    names = {}

    def fill(episode):
        Block.objects.filter(orig_id=block(episode, 5).pk).update(id=5_000_000_000)
        IdMap.objects.filter(type="block", org_id=block(episode, 5).pk).update(new_id=5_000_000_000)
        names["full"] = f"content:block/{block(episode, 5).pk} ".ljust(255, "x")
        change(0, name=names["full"])(episode)

    duplication = drifted(fill)
    done = catch_up(duplication)

    assert done.status == "completed", done.error_message
    assert Block.objects.get(orig_id=block(duplication.episode, 0).pk).name == names["full"]
    found = duplication.link_findings.get()
    assert (found.points_to, found.field) == ("original", "name")


@pytest.fixture
def with_files(owner, settings, tmp_path):
    """A complete copy with files of its own, whose originals were given others meanwhile."""
    settings.MEDIA_ROOT = tmp_path

    def make(first, second, **options):
        for name in ("a.mp3", "b.mp3"):
            default_storage.save(name, ContentFile(name.encode()))
        item = ItemFactory(part=PartFactory(episode=EpisodeFactory(owner=owner)))
        BlockFactory.create_batch(2, item=item, media="a.mp3")
        duplication, _ = start_duplication(
            episode_id=item.part.episode_id, requested_by=owner, **options
        )
        run_stage(duplication, "media")
        change(0, media=first)(duplication.episode)
        change(1, media=second)(duplication.episode)
        run_to_end(duplication)
        assert duplication.status == "completed", duplication.error_message
        return duplication

    return make


def content(name):
    with default_storage.open(name) as file:
        return file.read()


def names_of(duplication):
    found = Block.objects.filter(item__part__episode=duplication.new_episode).order_by("orig_id")
    return list(found.values_list("media", flat=True))


def test_catch_up_gives_the_copy_files_of_its_own(with_files):
    duplication = with_files("b.mp3", "b.mp3", media_strategy="copy")

    done = catch_up(duplication)

    assert done.status == "completed", done.error_message
    first, second = names_of(duplication)
    assert first == second
    assert first.startswith(f"copies/{duplication.pk}/")
    assert content(first) == b"b.mp3"
    assert done.progress["media"]["done"] == done.progress["media"]["total"] == 1
    assert duplication.media_files.filter(status="copied").count() == 2

    remove(duplication)

    assert duplication.removed_at
    assert not default_storage.exists(first)
    assert default_storage.exists("b.mp3")


def test_catch_up_of_a_copy_that_shares_files_names_the_originals(with_files):
    duplication = with_files("b.mp3", None)
    done = catch_up(duplication)
    assert names_of(duplication) == ["b.mp3", None]
    assert "media" not in done.progress


def test_catch_up_missing_file_keeps_its_name_and_is_told(with_files, driver_events):
    duplication = with_files("gone.mp3", "b.mp3", media_strategy="copy")
    done = catch_up(duplication)
    assert done.status == "completed"
    missing, copied = names_of(duplication)
    assert missing == "gone.mp3"
    assert copied.startswith("copies/")
    told = [event.payload.get("message", "") for event in driver_events(done)]
    assert any("Missing in storage: gone.mp3 (1 in all)." in message for message in told)


def test_catch_up_file_that_is_required_and_missing_fails_until_it_is_there(with_files):
    duplication = with_files("late.mp3", "a.mp3", media_strategy="copy", media_required=True)
    done = catch_up(duplication)
    assert (done.status, done.error_code) == ("failed", "media_missing")
    assert names_of(duplication)[0].startswith("copies/")
    default_storage.save("late.mp3", ContentFile(b"late"))

    control.retry(CATCH_UP, done)
    done = catch_up(duplication)

    assert done.status == "completed", done.error_message
    assert content(names_of(duplication)[0]) == b"late"


def test_catch_up_file_named_after_the_files_were_copied_is_left_for_the_next(
    with_files, driver_events
):
    duplication = with_files("b.mp3", "b.mp3", media_strategy="copy")
    before = names_of(duplication)
    started, _ = start_catch_up(duplication=duplication, requested_by=duplication.requested_by)
    run_stage(started, "media")
    default_storage.save("c.mp3", ContentFile(b"c.mp3"))
    change(0, media="c.mp3")(duplication.episode)
    run_to_end(started)

    assert names_of(duplication)[0] == before[0]
    assert started.jobs.get(stage="edits").counts["open"] == 1
    assert any("catch up once more" in str(event.payload) for event in driver_events(started))

    catch_up(duplication)

    assert content(names_of(duplication)[0]) == b"c.mp3"
    assert {state for _, state in states(duplication)} == {"applied"}
