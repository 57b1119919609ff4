"""Copying in Amazon S3, and in what speaks its protocol: the bytes never leave the storage.

What proves a copy is what S3 itself computed of both objects: the checksum of the whole
object where both have one, else the ETag. An ETag is the MD5 of an object that came in one
piece; of one that came in several it is made of the parts' MD5s, so an object whose ETag is
to be compared is copied in the parts it came in. Under KMS an ETag says nothing.

A copy by parts needs no record of ours: S3 lists which uploads and which of their parts
there are, so whoever comes next goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
from django.conf import settings
from storages.backends.s3 import S3Storage
from storages.utils import clean_name, safe_join

from duplication.media.contract import (
    Copied,
    CopyDiffers,
    StorageRefused,
    StorageUnreachable,
    Unfinished,
)

PARTS_AT_ONCE = 4
MAX_KEY_BYTES = 1024
# Whole-object checksums, best first. The first three S3 also computes over parts.
CRCS = ("CRC64NVME", "CRC32C", "CRC32")
CHECKSUMS = (*CRCS, "SHA256", "SHA1")
# What a copy in one request keeps by itself and one by parts has to be told.
KEPT_HEADERS = (
    "ContentType",
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "Metadata",
    "StorageClass",
)
NOT_FOUND = {"404", "NoSuchKey"}
CHANGED_MEANWHILE = {"PreconditionFailed", "NoSuchUpload"}
BUSY = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "RequestLimitExceeded"}


@dataclass(frozen=True)
class Object:
    """What S3 tells of an object."""

    size: int
    etag: str
    checksums: Mapping[str, str]
    etag_is_digest: bool
    headers: Mapping[str, Any]

    @property
    def parts(self) -> int:
        """In how many parts it came; 0: in one piece."""
        _, _, parts = self.etag.partition("-")
        return int(parts or 0)

    @property
    def crc(self) -> str | None:
        return next((name for name in CRCS if name in self.checksums), None)

    def proof(self, other: Object) -> tuple[str, str, str] | None:
        """(algorithm, own value, the other's value) of the best that both have."""
        for name in CHECKSUMS:
            if name in self.checksums and name in other.checksums:
                return name, self.checksums[name], other.checksums[name]
        if self.etag_is_digest and other.etag_is_digest:
            return "ETag", self.etag, other.etag
        return None

    def equals(self, other: Object) -> bool:
        proof = self.proof(other)
        return self.size == other.size and proof is not None and proof[1] == proof[2]


class S3Store:
    """Progress: {"upload": the id of the upload by parts that was begun}.

    With the storage's own client: its region, endpoint and credentials.
    """

    def __init__(self, storage: S3Storage) -> None:
        self._storage = storage
        self._bucket: str = storage.bucket_name
        # One client for all threads: it may be shared, only making it may not.
        self._client: Any = storage.connection.meta.client

    def copy(
        self, source: str, target: str, *, progress: dict[str, Any], until: float
    ) -> Copied | Unfinished | None:
        try:
            source_key = self._key(source)
        except ValueError:
            return None
        target_key = self._key(target)
        with self._explained():
            here = self._head(source_key)
            if here is None:
                return None
            there = self._head(target_key)
            if there is None or not here.equals(there):
                try:
                    if self._goes_in_one_request(here):
                        self._copy_object(here, source_key, target_key)
                    elif unfinished := self._copy_parts(
                        here, source_key, target_key, progress, until
                    ):
                        return unfinished
                except ClientError as error:
                    if _code(error) in NOT_FOUND:
                        return None
                    if _code(error) in CHANGED_MEANWHILE:
                        return Unfinished({})
                    raise
                there = self._head(target_key)
            return self._proved(source, target, here, there)

    def delete(self, name: str) -> None:
        key = self._key(name)
        with self._explained():
            self._client.delete_object(Bucket=self._bucket, Key=key)
            for upload in self._uploads(key):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=upload)

    def _key(self, name: str) -> str:
        """The object's key. Raises ValueError for a name that can't be one's."""
        key: str = safe_join(self._storage.location, clean_name(name))
        if not 0 < len(key.encode()) <= MAX_KEY_BYTES:
            raise ValueError(f"{key!r} is no key of S3's.")
        return key

    def _head(self, key: str) -> Object | None:
        try:
            found = self._client.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            if _code(error) not in NOT_FOUND:
                raise
            if not self._bucket_exists:  # which looks like a file that is missing
                raise StorageRefused(
                    f"There is no S3 bucket {self._bucket}: correct AWS_STORAGE_BUCKET_NAME, "
                    "restart the workers and Retry."
                ) from error
            return None
        return _object(found)

    @cached_property
    def _bucket_exists(self) -> bool:
        try:
            self._client.head_bucket(Bucket=self._bucket)
        except ClientError as error:
            if _code(error) in NOT_FOUND:
                return False
            raise
        return True

    def _goes_in_one_request(self, here: Object) -> bool:
        # S3 takes at most 5 GiB in one piece, so what came in one can be copied in one.
        if not here.parts:
            return True
        return bool(here.checksums) and here.size <= settings.AWS_COPY_MAX_BYTES

    def _copy_object(self, here: Object, source_key: str, target_key: str) -> None:
        storage_class = here.headers.get("StorageClass")
        self._client.copy_object(
            Bucket=self._bucket,
            Key=target_key,
            CopySource={"Bucket": self._bucket, "Key": source_key},
            CopySourceIfMatch=f'"{here.etag}"',
            **({"StorageClass": storage_class} if storage_class else {}),
        )

    # --- by parts ----------------------------------------------------------------

    def _copy_parts(
        self,
        here: Object,
        source_key: str,
        target_key: str,
        progress: dict[str, Any],
        until: float,
    ) -> Unfinished | None:
        """Copy the parts that aren't there yet, in the sizes they came in; None: the target
        is there. At least one round of parts is copied, however late it is."""
        checksum = {"ChecksumAlgorithm": here.crc, "ChecksumType": "FULL_OBJECT"}
        upload = progress.get("upload") or next(iter(self._uploads(target_key)), None)
        if upload is None:
            upload = self._client.create_multipart_upload(
                Bucket=self._bucket,
                Key=target_key,
                **here.headers,
                **(checksum if here.crc else {}),
            )["UploadId"]
        target = {"Bucket": self._bucket, "Key": target_key, "UploadId": upload}
        sizes = {part["PartNumber"]: part["Size"] for part in self._parts(target)}
        offset, copied = 0, 0
        with ThreadPoolExecutor(PARTS_AT_ONCE) as pool:
            for first in range(1, here.parts + 1, PARTS_AT_ONCE):
                if copied and time.monotonic() >= until:
                    return Unfinished({"upload": upload})
                numbers = range(first, min(first + PARTS_AT_ONCE, here.parts + 1))
                missing = [number for number in numbers if number not in sizes]
                found = pool.map(lambda number: self._part_size(source_key, number), missing)
                sizes.update(zip(missing, found, strict=True))
                ranges = []
                for number in numbers:
                    ranges.append((number, offset, offset + sizes[number] - 1))
                    offset += sizes[number]
                wanted = [part for part in ranges if part[0] in missing]
                copy = [
                    pool.submit(self._copy_part, here, source_key, target, *part) for part in wanted
                ]
                for part in copy:
                    part.result()
                copied += len(wanted)
        parts = [
            {key: part[key] for key in ("PartNumber", "ETag", f"Checksum{here.crc}") if key in part}
            for part in self._parts(target)
        ]
        self._client.complete_multipart_upload(
            **target,
            MultipartUpload={"Parts": parts},
            **({"ChecksumType": "FULL_OBJECT"} if here.crc else {}),
        )
        return None

    def _copy_part(
        self,
        here: Object,
        source_key: str,
        target: dict[str, Any],
        number: int,
        start: int,
        end: int,
    ) -> None:
        self._client.upload_part_copy(
            **target,
            PartNumber=number,
            CopySource={"Bucket": self._bucket, "Key": source_key},
            CopySourceIfMatch=f'"{here.etag}"',
            CopySourceRange=f"bytes={start}-{end}",
        )

    def _part_size(self, key: str, number: int) -> int:
        part = self._client.head_object(Bucket=self._bucket, Key=key, PartNumber=number)
        if "PartsCount" not in part:
            raise StorageRefused(
                f"The storage doesn't tell the parts of {key}, which are needed to copy it: "
                "upload it in one piece and Retry, or share the files."
            )
        size: int = part["ContentLength"]
        return size

    def _parts(self, target: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for page in self._client.get_paginator("list_parts").paginate(**target):
            yield from page.get("Parts", [])

    def _uploads(self, key: str) -> list[str]:
        """The uploads to this key that were begun and not completed."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._bucket, Prefix=key
        )
        return [
            upload["UploadId"]
            for page in pages
            for upload in page.get("Uploads", [])
            if upload["Key"] == key
        ]

    # --- what came of it ----------------------------------------------------------

    def _proved(self, source: str, target: str, here: Object, there: Object | None) -> Copied:
        if there is None:
            raise CopyDiffers(source, target, "it is not there")
        proof = here.proof(there)
        if proof is None:
            self.delete(target)
            raise StorageRefused(
                f"Nothing proves that the copy of {source} is equal: it is encrypted by KMS and "
                "has no checksum of the whole object. Give it one (copy it onto itself with "
                "--checksum-algorithm CRC64NVME) and Retry, or share the files."
            )
        algorithm, expected, found = proof
        if here.size != there.size or expected != found:
            self.delete(target)
            raise CopyDiffers(
                source,
                target,
                f"{here.size} bytes with {algorithm} {expected} became {there.size} with {found}",
            )
        return Copied(there.size, f"{algorithm}:{found}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (ConnectionError, HTTPClientError) as error:
            raise StorageUnreachable(f"Amazon S3 doesn't answer: {error}") from error
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if status >= 500 or _code(error) in BUSY:
                raise StorageUnreachable(f"Amazon S3 is busy: {error}") from error
            raise StorageRefused(
                f"Amazon S3 refuses, in the bucket {self._bucket}: {error} Check the permissions "
                "of the workers' credentials, then Retry."
            ) from error
        except BotoCoreError as error:
            raise StorageRefused(
                f"Amazon S3 can't be asked: {error} Check the workers' AWS settings, then Retry."
            ) from error


def _object(found: Mapping[str, Any]) -> Object:
    etag = found["ETag"].strip('"')
    # Of an object in parts a checksum is one of the whole only where S3 says so.
    whole = found.get("ChecksumType", "COMPOSITE" if "-" in etag else "FULL_OBJECT")
    checksums = {
        name: found[f"Checksum{name}"]
        for name in CHECKSUMS
        if whole == "FULL_OBJECT" and f"Checksum{name}" in found
    }
    is_keyed = found.get("ServerSideEncryption", "AES256") != "AES256" or (
        "SSECustomerAlgorithm" in found
    )
    return Object(
        size=found["ContentLength"],
        etag=etag,
        checksums=checksums,
        etag_is_digest=not is_keyed,
        headers={name: found[name] for name in KEPT_HEADERS if name in found},
    )


def _code(error: ClientError) -> str:
    code: str = error.response["Error"]["Code"]
    return code
