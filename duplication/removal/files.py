"""Deleting the objects that a copy had of its own in storage."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.utils import timezone

from content.models import Block
from duplication.media.contract import StorageUnreachable
from duplication.media.stores import store
from duplication.models import Duplication, MediaFile, RemovalJob
from duplication.removal.conditions import FILES_TO_REMOVE
from operations import events
from operations.exceptions import WorkWaits
from operations.work import Step, Work

UNREACHABLE_WAIT_SECONDS = 30


class Prepared(NamedTuple):
    """What became of some files. `cursor`: where the next ones start, None after the last."""

    deleted: list[int]
    kept: int
    cursor: list[int] | None


class RemoveFiles(Work[RemovalJob]):
    """Cursor: [index of the status, id of the file after which to go on].

    A file that another block uses by now is kept, and counted. At the end nothing is left of
    the copy.
    """

    initial_size = 20
    min_size = 1
    max_size = 100  # each is a call to the storage, within a lease

    def prepare(self, job: RemovalJob, size: int) -> Prepared:
        index, after = job.cursor or [0, 0]
        files = list(
            MediaFile.objects.filter(
                duplication=job.removal.duplication_id,
                status=FILES_TO_REMOVE[index],
                id__gt=after,
            ).order_by("id")[:size]
        )
        unused = [file for file in files if not Block.objects.filter(media=file.target).exists()]
        if unused:
            _delete([file.target for file in unused])
        cursor: list[int] | None = [index, files[-1].pk] if len(files) == size else [index + 1, 0]
        if cursor and cursor[0] == len(FILES_TO_REMOVE):
            cursor = None
        return Prepared([file.pk for file in unused], len(files) - len(unused), cursor)

    def step(self, job: RemovalJob, size: int, prepared: Prepared) -> Step:
        duplication_id = job.removal.duplication_id
        total = None
        if job.cursor is None:
            total = MediaFile.objects.filter(
                duplication=duplication_id, status__in=FILES_TO_REMOVE
            ).count()
        MediaFile.objects.filter(pk__in=prepared.deleted).update(status=MediaFile.Status.REMOVED)
        handled = len(prepared.deleted) + prepared.kept
        notes: list[dict[str, Any]] = []
        if prepared.cursor is None:
            _tell_removed(duplication_id)
            if kept := job.counts.get("kept", 0) + prepared.kept:
                notes = [{"message": "Files that other blocks use were kept", "amount": kept}]
        return Step(
            cursor=prepared.cursor or [len(FILES_TO_REMOVE), 0],
            finished=prepared.cursor is None,
            rows=handled,
            done=handled,
            total=total,
            counts={"rows": len(prepared.deleted), "kept": prepared.kept},
            notes=notes,
        )


def _delete(names: list[str]) -> None:
    storage = store()
    try:
        for name in names:
            storage.delete(name)
    except StorageUnreachable as error:
        raise WorkWaits(UNREACHABLE_WAIT_SECONDS, str(error)) from error


def _tell_removed(duplication_id: int) -> None:
    duplication = Duplication.objects.select_for_update(no_key=True).get(pk=duplication_id)
    duplication.removed_at = timezone.now()
    duplication.save(update_fields=["removed_at", "updated_at"])
    events.append(duplication, "feedback", payload={"message": "The copy was taken away."})
