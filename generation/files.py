"""Files in Django's default storage that are named by what is in them.

A name ends with its content's SHA-256, so whoever finds a file can tell whether it is whole,
and writing one twice changes nothing. Owns how a storage's errors are told apart: it is away
(WorkWaits) or it refuses (StorageRefused). One that isn't there raises FileNotFoundError.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import BinaryIO, cast

from django.core.files import File
from django.core.files.storage import default_storage

from operations.exceptions import WorkFailed, WorkWaits

BLOCK = 1024 * 1024
AWAY_SECONDS = 15.0
FULL_SECONDS = 60.0
FINAL = {errno.EACCES, errno.EPERM, errno.EROFS}
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
BUSY = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "RequestLimitExceeded"}


class StorageRefused(WorkFailed):
    """The storage answers that it won't: settings or permissions are wrong."""

    code = "storage_refused"


class FileDiffers(WorkFailed):
    """What was read back isn't what was written."""

    code = "upload_differs"


def checksum_of(file: BinaryIO) -> tuple[int, str]:
    """(bytes, SHA-256 in hex) of what is left to read of `file`, in constant memory."""
    size, digest = 0, hashlib.sha256()
    while block := file.read(BLOCK):
        size += len(block)
        digest.update(block)
    return size, digest.hexdigest()


def named_checksum(name: str) -> str:
    """The checksum that a file's name tells."""
    return PurePosixPath(name).stem


def put(name: str, content: BinaryIO) -> None:
    """Have the storage hold `content` (seekable, from its begin) as `name`.

    A whole file of that name stays as it is; half of one is replaced. Idempotent. Raises
    WorkWaits, StorageRefused.
    """
    with explained():
        content.seek(0)
        saved = default_storage.save(name, File(content))
        if saved == name:
            return
        # Something is there: whole, or what a crash left.
        if is_whole(name):
            default_storage.delete(saved)
            return
        default_storage.delete(name)
        content.seek(0)
        default_storage.delete(saved)
        if (again := default_storage.save(name, File(content))) != name:
            default_storage.delete(again)
            raise WorkWaits(AWAY_SECONDS, f"{name} is being written by another worker.")


def is_whole(name: str) -> bool:
    """Whether a file of this name is there, with the content that the name tells."""
    try:
        with reading(name) as file:
            return checksum_of(file)[1] == named_checksum(name)
    except FileNotFoundError:
        return False


def check(name: str, *, size: int, checksum: str) -> None:
    """Read the file back. Raises FileDiffers where it isn't what was written, after deleting
    it; WorkWaits, StorageRefused."""
    try:
        with reading(name) as file:
            found = checksum_of(file)
    except FileNotFoundError as error:
        raise FileDiffers(
            f"{name} was uploaded, and isn't there. Retry uploads it again."
        ) from error
    if found == (size, checksum):
        return
    with explained():
        default_storage.delete(name)
    raise FileDiffers(
        f"{name} was uploaded with {size:,} bytes, and {found[0]:,} other bytes were read back. It "
        "was deleted. Retry uploads it again."
    )


def read(name: str) -> bytes:
    """Raises FileNotFoundError, WorkWaits, StorageRefused."""
    with reading(name) as file:
        return file.read()


def listed(folder: str) -> list[str]:
    """The names of the files in a folder; none where there is no such folder."""
    with explained(), suppress(FileNotFoundError):
        return [f"{folder}/{name}" for name in default_storage.listdir(folder)[1]]
    return []


def delete(name: str) -> None:
    """Idempotent."""
    with explained():
        default_storage.delete(name)


@contextmanager
def reading(name: str) -> Iterator[BinaryIO]:
    with explained(), default_storage.open(name) as file:
        yield cast(BinaryIO, file)


@contextmanager
def explained() -> Iterator[None]:
    """Within: the storage's errors as ours."""
    try:
        yield
    except FileNotFoundError:
        raise  # the caller's to judge
    except OSError as error:
        raise _file_system_meant(error) from error
    except Exception as error:
        if meant := _amazon_meant(error):
            raise meant from error
        raise


def _file_system_meant(error: OSError) -> Exception:
    reason = f"{error.strerror or error} ({error.filename})" if error.filename else str(error)
    if error.errno in FINAL:
        return StorageRefused(f"The media folder can't be used: {reason}. Mend that and Retry.")
    if error.errno in NO_ROOM:
        return WorkWaits(
            FULL_SECONDS,
            "The disk is full, of the media folder or of temporary files: make room there and it "
            "goes on by itself.",
        )
    return WorkWaits(AWAY_SECONDS, f"The media folder can't be used: {reason}.")


def _amazon_meant(error: Exception) -> Exception | None:
    """None for what isn't Amazon's library's."""
    # Here, because that library takes its time and most installations don't need it.
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

    if isinstance(error, ConnectionError | HTTPClientError):
        return WorkWaits(AWAY_SECONDS, f"Amazon S3 doesn't answer: {error}")
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status >= 500 or error.response["Error"]["Code"] in BUSY:
            return WorkWaits(AWAY_SECONDS, f"Amazon S3 is busy: {error}")
        return StorageRefused(
            f"Amazon S3 refuses: {error} Check the bucket and the permissions of the workers' "
            "credentials, then Retry."
        )
    if isinstance(error, BotoCoreError):
        return StorageRefused(
            f"Amazon S3 can't be asked: {error} Check the workers' AWS settings, then Retry."
        )
    return None
