import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from content.models import Block
from content.synthetic import make_episode
from duplication.media.contract import StorageUnreachable
from duplication.media.file_system import FileSystemStore
from duplication.models import MediaFile
from duplication.removal.files import RemoveFiles
from duplication.removal.services import start_removal
from tests.duplication.driving import duplicate, remove, run_to_end
from tests.factories.content import BlockFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def media_root(settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path
    return tmp_path


@pytest.fixture
def duplication():
    """A copy whose seven files are its own; an eighth was missing."""
    episode = make_episode(parts=1, items=1, blocks=8)
    blocks = Block.objects.filter(item__part__episode=episode).order_by("pk")
    for number, block in enumerate(blocks):
        if number < 7:
            default_storage.save(f"org/{number}.mp3", ContentFile(b"sound"))
        blocks.filter(pk=block.pk).update(media=f"org/{number}.mp3")
    duplication = duplicate(episode, media_strategy="copy")
    assert duplication.status == "completed", duplication.error_message
    assert duplication.media_files.filter(status="copied").count() == 7
    return duplication


def own_files(duplication):
    return [f.target for f in duplication.media_files.all() if default_storage.exists(f.target)]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_files_of_the_copy_are_deleted_and_the_originals_stay(duplication, monkeypatch, size):
    for name in ("initial_size", "min_size", "max_size"):
        monkeypatch.setattr(RemoveFiles, name, size)
    assert len(own_files(duplication)) == 7

    removal = remove(duplication)

    assert removal.status == "completed", removal.error_message
    assert own_files(duplication) == []
    assert duplication.media_files.filter(status="removed").count() == 7
    assert duplication.media_files.filter(status="missing").count() == 1
    assert all(default_storage.exists(f"org/{number}.mp3") for number in range(7))
    assert (removal.progress["files"]["done"], removal.progress["files"]["total"]) == (7, 7)


def test_file_that_another_block_uses_is_kept_and_counted(duplication, driver_events):
    shared = duplication.media_files.filter(status="copied").first().target
    BlockFactory(media=shared)

    removal = remove(duplication)

    assert own_files(duplication) == [shared]
    assert removal.jobs.get(stage="files").counts == {"rows": 6, "kept": 1}
    notes = [
        event.payload["message"] for event in driver_events(removal) if "message" in event.payload
    ]
    assert "Files that other blocks use were kept" in notes


def test_further_copy_that_shares_the_files_keeps_them(duplication):
    duplicate(duplication.new_episode, media_strategy="share")
    removal = remove(duplication, even_if_changed=True)
    assert removal.status == "completed"
    assert len(own_files(duplication)) == 7


def test_file_that_was_copied_just_before_a_crash_is_deleted_too(duplication):
    MediaFile.objects.filter(duplication=duplication, status="copied").update(status="pending")
    remove(duplication)
    assert own_files(duplication) == []


def test_storage_that_does_not_answer_makes_it_wait(duplication, monkeypatch):
    def unreachable(self, name):
        raise StorageUnreachable("The storage doesn't answer.")

    with monkeypatch.context() as patch:
        patch.setattr(FileSystemStore, "delete", unreachable)
        removal = remove(duplication)
    assert removal.waiting_reason == "The storage doesn't answer."
    assert duplication.display_status == "removing"

    removal.jobs.update(not_before=None)
    run_to_end(removal)
    assert removal.status == "completed"
    assert own_files(duplication) == []


def test_step_that_died_after_deleting_is_done_again(duplication):
    removal, _ = start_removal(duplication=duplication, requested_by=None)
    default_storage.delete(duplication.media_files.first().target)
    run_to_end(removal)
    assert removal.status == "completed"
    assert duplication.media_files.filter(status="removed").count() == 7
