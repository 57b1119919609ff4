"""Which store goes with Django's default storage."""

from __future__ import annotations

from django.core.files.storage import FileSystemStorage, storages

from duplication.media.contract import StorageRefused, Store
from duplication.media.file_system import FileSystemStore


def store() -> Store:
    """The store over `storages["default"]`: copies and deletes files by their name there.

    `store().delete(name)` is idempotent: a file that isn't there is fine. Cheap to call; use
    one object for many files. Raises StorageRefused for a storage it can't copy in.
    """
    storage = storages["default"]
    if isinstance(storage, FileSystemStorage):
        return FileSystemStore(storage)
    # Here, because Amazon's library takes its time and most installations don't need it.
    from storages.backends.s3 import S3Storage

    from duplication.media.s3 import S3Store

    if isinstance(storage, S3Storage):
        return S3Store(storage)
    raise StorageRefused(
        f"Files can't be copied in a {type(storage).__name__}: use Amazon S3 (set "
        "AWS_STORAGE_BUCKET_NAME) or the file system, or share the files."
    )
