"""What copying needs of a storage, and what can go wrong with one.

Names are those that Django's default storage knows a file by. A store is safe to use from
several threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from operations.exceptions import OperationError, WorkFailed


@dataclass(frozen=True)
class Copied:
    """The target is there, and was found equal to its source. `checksum` is written as
    ALGORITHM:value, in the storage's own spelling."""

    size: int
    checksum: str


@dataclass(frozen=True)
class Unfinished:
    """Time was up. `progress` (any JSON object) tells the next call where to go on."""

    progress: dict[str, Any]


class Store(Protocol):
    def copy(
        self, source: str, target: str, *, progress: dict[str, Any], until: float
    ) -> Copied | Unfinished | None:
        """Make `target` an equal of `source` and prove it; None: there is no such source.

        Idempotent: a target that is equal already is not copied again, and one that was begun
        is gone on with, by a call that knows nothing of the first one too. Stops about at
        `until` (of time.monotonic), after some progress. Raises StorageUnreachable,
        StorageRefused, and CopyDiffers after deleting a target that came out wrong.
        """

    def delete(self, name: str) -> None:
        """Delete the file and what an unfinished copy to this name left behind. Idempotent:
        a file that isn't there is fine. Raises StorageUnreachable and StorageRefused."""


class StorageUnreachable(OperationError):
    """The storage doesn't answer, or has no room, at present: worth another try later."""

    code = "storage_unreachable"


class StorageRefused(WorkFailed):
    """The storage answers that it won't: settings or permissions are wrong."""

    code = "storage_refused"


class CopyDiffers(WorkFailed):
    code = "media_differs"

    def __init__(self, source: str, target: str, difference: str) -> None:
        super().__init__(
            f"The file {source} was copied to {target}, and the copy is not equal: {difference}. "
            "That copy was deleted. Retry copies the file again."
        )
