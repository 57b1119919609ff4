"""What copying files promises, whichever storage they are in."""

import threading

import pytest
from django.core.files.storage import storages

from content.models import Block
from content.synthetic import make_episode
from duplication.kind import DUPLICATION
from duplication.media import work
from duplication.media.contract import StorageUnreachable
from duplication.media.stores import store
from duplication.media.work import CopyMedia
from duplication.models import IdMap
from duplication.services import start_duplication
from operations import control
from operations.models import Event
from tests.duplication.driving import duplicate, job_of, run_stage, run_to_end
from tests.duplication.media.conftest import episode_with, named, put, read

pytestmark = pytest.mark.django_db


def retry(duplication):
    control.retry(DUPLICATION, duplication)
    run_to_end(duplication)


def start(episode, **options):
    options = {"requested_by": None, "media_strategy": "copy", **options}
    return start_duplication(episode_id=episode.pk, **options).duplication


def at_media(episode, **options):
    """A duplication whose next job is the files'."""
    duplication = start(episode, **options)
    run_stage(duplication, "links")
    return duplication


def small_steps(monkeypatch, rows=2):
    for name in ("initial_size", "min_size", "max_size"):
        monkeypatch.setattr(CopyMedia, name, rows)
    monkeypatch.setattr(work, "FILES_PER_STEP", 2)


def test_share_keeps_the_references_and_makes_no_file(storage):
    put("a.mp3")
    episode = episode_with("a.mp3", None)
    copy = duplicate(episode)

    assert copy.status == "completed"
    assert named(copy.new_episode) == ["a.mp3", None]
    assert not copy.media_files.exists()
    assert copy.report["media"] == {"strategy": "share", "files": 0, "bytes": 0, "missing": 0}
    assert storages["default"].listdir("")[0] == []


def test_copy_gives_the_copy_files_of_its_own_with_the_same_content(storage):
    put("a.mp3", b"one")
    put("sounds/deep/b.wav", b"two!")
    episode = episode_with("a.mp3", "sounds/deep/b.wav", None, "")
    copy = duplicate(episode, media_strategy="copy")

    assert copy.status == "completed"
    first, second, *others = named(copy.new_episode)
    assert others == [None, ""]
    assert (read(first), read(second)) == (b"one", b"two!")
    assert first.startswith(f"copies/{copy.pk}/")
    assert (first.split("-", 1)[1], second.split("-", 1)[1]) == ("a.mp3", "b.wav")
    assert named(episode) == ["a.mp3", "sounds/deep/b.wav", None, ""]
    assert copy.report["media"] == {"strategy": "copy", "files": 2, "bytes": 7, "missing": 0}
    assert set(copy.media_files.values_list("status", "size")) == {("copied", 3), ("copied", 4)}
    assert copy.progress["media"]["done"] == copy.progress["media"]["total"] == 2


def test_copy_of_a_copy_has_files_of_its_own_under_names_that_do_not_grow(storage):
    put("a.mp3", b"one")
    first = duplicate(episode_with("a.mp3"), media_strategy="copy")
    second = duplicate(first.new_episode, media_strategy="copy")

    (once,), (twice,) = named(first.new_episode), named(second.new_episode)
    assert twice.startswith(f"copies/{second.pk}/")
    assert (len(once), twice.split("-", 1)[1]) == (len(twice), "a.mp3")
    storages["default"].delete(once)
    assert read(twice) == b"one"


def test_copy_in_steps_of_any_size_is_the_same(storage, monkeypatch):
    small_steps(monkeypatch)
    names = [put(f"{number}.mp3", b"%d" % number) for number in range(7)]
    copy = duplicate(episode_with(*names, *names), media_strategy="copy")

    assert copy.status == "completed"
    assert [read(name) for name in named(copy.new_episode)] == [b"%d" % n for n in range(7)] * 2
    assert copy.report["media"]["files"] == 7


def test_copy_of_several_files_goes_on_side_by_side(storage, monkeypatch):
    """Each of a step's copies waits until all of them are under way."""
    names = [put(f"{number}.mp3") for number in range(work.FILES_AT_ONCE)]
    together, real = threading.Barrier(len(names)), type(store()).copy

    def copy(self, *args, **kwargs):
        together.wait(timeout=30)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(type(store()), "copy", copy)
    duplication = duplicate(episode_with(*names), media_strategy="copy")

    assert duplication.status == "completed", duplication.error_message
    assert duplication.report["media"]["files"] == len(names)


def test_copy_of_names_no_storage_would_take_is_named_so_that_every_storage_does(storage):
    long = put("ä" * 60 + " & söund.mp3", b"long")
    copy = duplicate(episode_with(long), media_strategy="copy")

    (name,) = named(copy.new_episode)
    assert name.isascii()
    assert name.endswith("_s_und.mp3")
    assert read(name) == b"long"


@pytest.mark.parametrize("name", ["../outside.mp3", "folder/", "x" * 255, "a.mp3/b.mp3", "/"])
def test_copy_of_what_is_no_file_of_the_storage_is_missing(storage, name):
    put("a.mp3")
    put("folder/b.mp3")
    copy = duplicate(episode_with("a.mp3", name), media_strategy="copy")

    assert copy.status == "completed"
    assert named(copy.new_episode)[1] == name
    assert copy.report["media"]["missing"] == 1


def test_missing_file_is_reported_and_the_rest_is_copied(storage):
    put("a.mp3")
    copy = duplicate(episode_with("gone.mp3", "a.mp3", "gone.mp3"), media_strategy="copy")

    assert copy.status == "completed"
    gone, own, gone_again = named(copy.new_episode)
    assert (gone, gone_again, read(own)) == ("gone.mp3", "gone.mp3", b"sound")
    assert copy.report["media"] == {"strategy": "copy", "files": 1, "bytes": 5, "missing": 1}
    assert copy.media_files.get(status="missing").source == "gone.mp3"
    (note,) = Event.objects.filter(
        operation_id=str(copy.pk), stage="media", name="duplication.feedback"
    )
    assert "Files copied: 1" in note.payload["message"]
    assert "Missing in storage: gone.mp3 (1 in all)." in note.payload["message"]
    assert copy.progress["media"]["done"] == copy.progress["media"]["total"] == 2


def test_missing_file_that_is_required_fails_until_it_is_uploaded(storage):
    put("a.mp3")
    options = {"media_strategy": "copy", "media_required": True}
    copy = duplicate(episode_with("gone.mp3", "late.mp3", "a.mp3"), **options)

    assert (copy.status, copy.error_code) == ("failed", "media_missing")
    assert "gone.mp3" in copy.error_message
    assert "(2 in all). Upload what is missing and Retry" in copy.error_message
    assert copy.media_files.filter(status="missing").count() == 2

    put("gone.mp3", b"found")
    retry(copy)
    assert "Missing in storage: late.mp3 (1 in all)." in copy.error_message

    put("late.mp3")
    retry(copy)
    assert copy.status == "completed"
    assert read(named(copy.new_episode)[0]) == b"found"
    assert copy.report["media"] == {"strategy": "copy", "files": 3, "bytes": 15, "missing": 0}
    assert copy.progress["media"]["done"] == copy.progress["media"]["total"] == 3


def test_unreachable_storage_is_waited_for_with_the_reason_and_then_gone_on_with(
    storage, monkeypatch
):
    put("a.mp3")
    copy = at_media(episode_with("a.mp3"))
    real = type(store()).copy

    def down(*args, **kwargs):
        raise StorageUnreachable("The storage is on holiday.")

    monkeypatch.setattr(type(store()), "copy", down)
    assert run_to_end(copy)[-1] == "waiting"
    assert copy.status == "in_progress"
    assert copy.waiting_reason == "The storage is on holiday."
    job = job_of(copy, "media")
    assert (job.attempts, job.error_message) == (0, "")

    monkeypatch.setattr(type(store()), "copy", real)
    copy.jobs.filter(pk=job.pk).update(not_before=None, due_at=None)
    run_to_end(copy)
    assert (copy.status, copy.waiting_reason) == ("completed", "")


def test_one_file_that_fails_keeps_what_was_copied_beside_it(storage, monkeypatch):
    names = [put(f"{number}.mp3") for number in range(3)]
    copy = at_media(episode_with(*names))
    real, failed = type(store()).copy, []

    def once_down(self, source, target, **kwargs):
        if source == "1.mp3" and not failed:
            failed.append(source)
            raise StorageUnreachable("Not now.")
        return real(self, source, target, **kwargs)

    monkeypatch.setattr(type(store()), "copy", once_down)
    outcomes = run_to_end(copy)

    assert "waiting" not in outcomes
    assert copy.status == "completed"
    assert copy.report["media"]["files"] == 3


def test_verification_finds_a_block_that_still_names_the_originals_file(storage):
    put("a.mp3")
    copy = at_media(episode_with("a.mp3", "a.mp3"))
    run_stage(copy, "media")
    block = Block.objects.filter(item__part__episode=copy.new_episode_id).first()
    own_name = block.media
    Block.objects.filter(pk=block.pk).update(media="a.mp3")
    run_to_end(copy)

    assert (copy.status, copy.error_code) == ("failed", "verification_failed")
    assert "1 rows of the copy still name files of the original." in copy.error_message

    Block.objects.filter(pk=block.pk).update(media=own_name)
    retry(copy)
    assert copy.status == "completed"


def test_verification_finds_a_block_that_names_another_of_the_copys_files(storage):
    put("a.mp3")
    put("b.mp3")
    copy = at_media(episode_with("a.mp3", "b.mp3"))
    run_stage(copy, "media")
    first, second = Block.objects.filter(item__part__episode=copy.new_episode_id)
    Block.objects.filter(pk=first.pk).update(media=second.media)
    run_to_end(copy)

    assert copy.status == "failed"
    assert "Rows of the copy are not what was read from the original." in copy.error_message


def test_drift_does_not_take_the_copys_own_files_for_edits(folder):
    put("a.mp3")
    episode = episode_with("a.mp3", "a.mp3", None)
    copy = at_media(episode)
    edited = Block.objects.filter(item__part__episode=episode).order_by("position")[2]
    Block.objects.filter(pk=edited.pk).update(field_2="Edited meanwhile.")
    run_to_end(copy)

    assert copy.status == "completed"
    assert list(copy.drift_findings.values_list("org_id", "change")) == [(edited.pk, "edited")]


def test_delete_takes_a_file_away_and_is_idempotent(storage):
    name = put("a.mp3")
    store().delete(name)
    store().delete(name)
    assert not storages["default"].exists(name)


def test_copy_leaves_the_files_alone_that_two_copies_of_one_episode_have(storage):
    put("a.mp3")
    episode = episode_with("a.mp3")
    first, second = (duplicate(episode, media_strategy="copy") for _ in range(2))

    (one,), (other,) = named(first.new_episode), named(second.new_episode)
    store().delete(one)
    assert read(other) == read("a.mp3") == b"sound"


def test_copy_without_any_file_completes(storage):
    copy = duplicate(make_episode(parts=1, items=1, blocks=3), media_strategy="copy")
    assert copy.status == "completed"
    assert copy.progress["media"]["total"] == 0


def test_refer_touches_only_rows_of_the_copy_and_keeps_when_they_were_written(storage):
    put("a.mp3")
    episode, stranger = episode_with("a.mp3"), episode_with("a.mp3")
    copy = at_media(episode)
    rows = Block.objects.filter(item__part__episode=copy.new_episode_id)
    before = rows.values_list("updated_at", flat=True).get()
    run_to_end(copy)

    assert rows.values_list("updated_at", flat=True).get() == before
    assert named(stranger) == ["a.mp3"]
    assert IdMap.objects.filter(duplication=copy, type="block").count() == 1
