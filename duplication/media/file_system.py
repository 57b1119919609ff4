"""Copying in a folder of this machine.

A copy grows under a name of its own and gets the target's name when it is whole and on the
disk, so a target that is there is never half a file. Then both files are read again and
compared byte by byte: what is proved is what the disk holds.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from django.core.exceptions import SuspiciousFileOperation
from django.core.files.storage import FileSystemStorage

from duplication.media.contract import (
    Copied,
    CopyDiffers,
    StorageRefused,
    StorageUnreachable,
    Unfinished,
)

BLOCK = 4 * 1024 * 1024
PART_SUFFIX = ".part"
NO_SUCH_FILE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
FINAL = {errno.EACCES, errno.EPERM, errno.EROFS}


class FileSystemStore:
    """Progress: {"copied": true, "compared": bytes, "crc": of them}."""

    def __init__(self, storage: FileSystemStorage) -> None:
        self._storage = storage

    def copy(
        self, source: str, target: str, *, progress: dict[str, Any], until: float
    ) -> Copied | Unfinished | None:
        there = Path(self._storage.path(target))
        with _explained(), ExitStack() as stack:
            try:
                original = stack.enter_context(Path(self._storage.path(source)).open("rb"))
            except SuspiciousFileOperation:
                return None  # a name that leads out of the storage names no file in it
            except OSError as error:
                if error.errno in NO_SUCH_FILE:
                    return None
                raise
            if not there.exists():
                progress = {"copied": True}
                if not _copy(original, there, until):
                    return Unfinished(progress)
            compared, crc, equal = _compare(original, there, progress, until)
            if not equal:
                self.delete(target)
                if progress.get("copied"):
                    raise CopyDiffers(source, target, f"they differ after {compared} equal bytes")
                return Unfinished({})  # an older copy, of what the source was then
            if compared < os.fstat(original.fileno()).st_size:
                return Unfinished({**progress, "compared": compared, "crc": crc})
            return Copied(compared, f"CRC32:{crc:08x}")

    def delete(self, name: str) -> None:
        path = Path(self._storage.path(name))
        with _explained():
            path.unlink(missing_ok=True)
            _part(path).unlink(missing_ok=True)


def _copy(original: BinaryIO, there: Path, until: float) -> bool:
    """Go on with the copy; True when it is whole and has its name.

    Written at its place, not appended: of two workers at once both write the same.
    """
    part = _part(there)
    there.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT), "r+b") as copy:
        length = os.fstat(original.fileno()).st_size
        reached = copy.seek(0, os.SEEK_END)
        if reached > length:
            reached = copy.truncate(0)  # begun when the source was a longer file
        original.seek(reached)
        copy.seek(reached)
        while block := original.read(BLOCK):
            copy.write(block)
            if time.monotonic() >= until and original.tell() < length:
                return False
        copy.flush()
        os.fsync(copy.fileno())
    shutil.copymode(original.name, part)
    part.replace(there)
    return True


def _compare(
    original: BinaryIO, there: Path, progress: dict[str, Any], until: float
) -> tuple[int, int, bool]:
    """Go on comparing: (bytes found equal, their CRC, whether no difference was seen)."""
    compared, crc = progress.get("compared", 0), progress.get("crc", 0)
    with there.open("rb") as copy:
        original.seek(compared)
        copy.seek(compared)
        while True:
            block = original.read(BLOCK)
            if copy.read(BLOCK) != block:
                return compared, crc, False
            compared += len(block)
            crc = zlib.crc32(block, crc)
            if not block or time.monotonic() >= until:
                return compared, crc, True


def _part(path: Path) -> Path:
    return path.with_name(path.name + PART_SUFFIX)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"{error.strerror} ({error.filename})" if error.filename else error.strerror
        if error.errno in FINAL:
            raise StorageRefused(
                f"The media folder can't be used: {reason}. Mend that and Retry."
            ) from error
        raise StorageUnreachable(f"The media folder can't be used: {reason}.") from error
