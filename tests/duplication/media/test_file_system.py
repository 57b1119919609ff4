"""What is the folder's own: half files, names on the disk, trouble with the disk."""

import errno
import os
import stat
import time
import zlib

import pytest
from django.core.files.storage import InMemoryStorage, storages

from duplication.media import file_system
from duplication.media.contract import (
    Copied,
    CopyDiffers,
    StorageRefused,
    StorageUnreachable,
    Unfinished,
)
from duplication.media.stores import store
from tests.duplication.media.conftest import put, read

LONG = bytes(range(256)) * 10


@pytest.fixture(autouse=True)
def in_small_blocks(folder, monkeypatch):
    monkeypatch.setattr(file_system, "BLOCK", 256)


@pytest.fixture
def path():
    return storages["default"].path


def copy(source="a.mp3", target="copies/1/a.mp3", *, progress=None, until=None):
    until = time.monotonic() + 60 if until is None else until
    return store().copy(source, target, progress=progress or {}, until=until)


def files_below(folder):
    return sorted(name for _, _, names in os.walk(folder) for name in names)


def test_copy_tells_size_and_checksum_and_leaves_no_half_file(path):
    put("a.mp3", LONG)
    assert copy() == Copied(len(LONG), f"CRC32:{zlib.crc32(LONG):08x}")
    assert read("copies/1/a.mp3") == LONG
    assert files_below(path("copies")) == ["a.mp3"]


def test_copy_of_an_empty_file_is_an_empty_file():
    put("a.mp3", b"")
    assert copy() == Copied(0, "CRC32:00000000")
    assert read("copies/1/a.mp3") == b""


def test_copy_goes_on_where_time_was_up_and_has_its_name_only_when_it_is_whole(path):
    put("a.mp3", LONG)
    outcome, steps = Unfinished({}), 0
    while isinstance(outcome, Unfinished):
        whole = os.path.exists(path("copies/1/a.mp3"))
        assert not whole or read("copies/1/a.mp3") == LONG
        outcome = copy(progress=outcome.progress, until=0)
        steps += 1
    assert outcome == Copied(len(LONG), f"CRC32:{zlib.crc32(LONG):08x}")
    assert steps >= 2 * len(LONG) // 256 - 1  # a block a step, written and then read


def test_copy_is_gone_on_with_by_who_knows_nothing_of_its_beginning(path):
    put("a.mp3", LONG)
    copy(until=0)
    half = path("copies/1/a.mp3.part")
    assert 0 < os.path.getsize(half) < len(LONG)
    began_at = os.stat(half).st_ino

    assert isinstance(copy(), Copied)
    assert os.stat(path("copies/1/a.mp3")).st_ino == began_at
    assert read("copies/1/a.mp3") == LONG


def test_copy_begun_when_the_source_was_longer_starts_anew(path):
    put("a.mp3", LONG)
    copy(until=0)
    storages["default"].delete("a.mp3")
    put("a.mp3", b"short")
    assert isinstance(copy(), Copied)
    assert read("copies/1/a.mp3") == b"short"


def test_copy_that_is_there_already_is_not_written_again(path):
    put("a.mp3", LONG)
    copy()
    before = os.stat(path("copies/1/a.mp3"))
    assert isinstance(copy(), Copied)
    after = os.stat(path("copies/1/a.mp3"))
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_older_copy_of_what_the_source_was_is_copied_again():
    put("a.mp3", b"new!!")
    put("copies/1/a.mp3", b"older")
    assert copy() == Unfinished({})
    assert isinstance(copy(), Copied)
    assert read("copies/1/a.mp3") == b"new!!"


@pytest.mark.parametrize("spoilt", [b"x", b"longer", b""], ids=["other", "longer", "empty"])
def test_copy_that_the_disk_holds_wrong_is_deleted_and_told(path, monkeypatch, spoilt):
    put("a.mp3", b"s")
    real = file_system._copy

    def copy_and_spoil(original, there, until):
        done = real(original, there, until)
        there.write_bytes(spoilt)
        return done

    monkeypatch.setattr(file_system, "_copy", copy_and_spoil)
    with pytest.raises(CopyDiffers, match="Retry copies the file again"):
        copy()
    assert files_below(path("copies")) == []


def test_copy_has_the_permissions_of_its_source(path):
    put("a.mp3")
    os.chmod(path("a.mp3"), 0o640)
    copy()
    assert stat.S_IMODE(os.stat(path("copies/1/a.mp3")).st_mode) == 0o640


def test_delete_takes_away_what_an_unfinished_copy_left(path):
    put("a.mp3", LONG)
    copy(until=0)
    store().delete("copies/1/a.mp3")
    assert files_below(path("copies")) == []


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, StorageUnreachable),
        (errno.EIO, StorageUnreachable),
        (errno.EACCES, StorageRefused),
    ],
)
def test_trouble_with_the_disk_is_told_by_who_can_mend_it(monkeypatch, number, error):
    put("a.mp3")

    def trouble(*_):
        raise OSError(number, os.strerror(number), "/media/a.mp3")

    monkeypatch.setattr(file_system, "_copy", trouble)
    with pytest.raises(error, match=os.strerror(number)):
        copy()


def test_storage_nobody_can_copy_in_is_refused_with_the_way_out(settings):
    memory = f"{InMemoryStorage.__module__}.{InMemoryStorage.__qualname__}"
    settings.STORAGES = {**settings.STORAGES, "default": {"BACKEND": memory}}
    with pytest.raises(StorageRefused, match="can't be copied in a InMemoryStorage: use Amazon S3"):
        store()
