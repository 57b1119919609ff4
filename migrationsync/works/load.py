"""Brings a whole entity over: batch after batch, each in a step with its mappings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from migrationsync.loading import prepare, write
from migrationsync.loading.preparing import Prepared
from migrationsync.models import (
    MigrationCheckpoint,
    QuarantinedRow,
    SynchronizationJob,
)
from migrationsync.runs import batch_name
from migrationsync.works.base import Beginning, EntityWork
from migrationsync.works.judging import JUDGED_FROM, is_over, too_many_refused
from operations.exceptions import WorkFailed
from operations.work import Step

# Rows of the quarantine that are tried at once.
RETRIED = 1_000


@dataclass(frozen=True)
class _Batch:
    """`tried_again`: rows of the quarantine, up to and with this key."""

    prepared: Prepared
    tried_again: int | None = None


class LoadEntity(EntityWork):
    """Reads up to the greatest key there was at the beginning, so that it ends although the
    source grows.

    The cursor: {"after": key}; with "is_read" where nothing is left but the verdict that too
    many rows were refused; with "again" while a retry tries those once more, behind that key.
    """

    def try_again(self, checkpoint: MigrationCheckpoint) -> None:
        checkpoint.cursor = {**(checkpoint.cursor or {}), "again": None}
        checkpoint.save(update_fields=["cursor"])

    def begin(self, checkpoint: MigrationCheckpoint) -> Beginning:
        source, table = self.source(checkpoint), self.table(checkpoint)
        until = source.high_water(table, self.entity(checkpoint).key)
        return Beginning(source.count(table).rows, {"until": until})

    def read(self, checkpoint: MigrationCheckpoint, size: int) -> _Batch | None:
        cursor = checkpoint.cursor or {}
        if "again" in cursor:
            return self._read_again(checkpoint, cursor, min(size, RETRIED))
        is_read = cursor.get("is_read", False)
        if refusal := too_many(checkpoint, cursor, is_read=is_read):
            raise refusal
        until = checkpoint.metadata["until"]
        if is_read or until is None:
            return None
        return _Batch(
            prepare(
                self.entity(checkpoint),
                self.source(checkpoint),
                self.table(checkpoint),
                after=cursor.get("after"),
                until=until,
                size=size,
            )
        )

    def write(self, checkpoint: MigrationCheckpoint, size: int, batch: _Batch | None) -> Step:
        cursor = checkpoint.cursor or {}
        if batch is None:
            return self._without_rows(checkpoint, cursor)
        prepared = batch.prepared
        written = write(
            prepared,
            batch_name=batch_name(checkpoint.run),
            keeps_changes=keeps_changes(checkpoint.sync_job),
        )
        counts = {
            "inserted": written.inserted,
            "updated": written.updated,
            "unchanged": written.unchanged,
            "kept": written.kept,
        }
        if batch.tried_again is not None:
            return Step({**cursor, "again": batch.tried_again}, finished=False, counts=some(counts))
        counts |= {"quarantined": len(written.refusals), "deleted": prepared.deleted}
        cursor = {"after": cursor.get("after") if prepared.last is None else prepared.last}
        is_refused = prepared.finished and is_over(
            checkpoint,
            refused=checkpoint.counts.get("quarantined", 0) + len(written.refusals),
            rows=checkpoint.records_processed + prepared.rows_read,
        )
        return Step(
            {**cursor, "is_read": True} if is_refused else cursor,
            finished=prepared.finished and not is_refused,
            rows=prepared.rows_read,
            done=prepared.rows_read,
            counts=some(counts),
        )

    def _read_again(
        self, checkpoint: MigrationCheckpoint, cursor: dict[str, Any], size: int
    ) -> _Batch | None:
        refused = refused_so_far(checkpoint, cursor)
        if cursor["again"] is not None:
            refused = refused.filter(legacy_id__gt=cursor["again"])
        keys = list(refused.order_by("legacy_id").values_list("legacy_id", flat=True)[:size])
        if not keys:
            return None
        prepared = prepare(
            self.entity(checkpoint),
            self.source(checkpoint),
            self.table(checkpoint),
            keys=keys,
            size=len(keys),
        )
        return _Batch(prepared, tried_again=max(prepared.keys or keys))

    def _without_rows(self, checkpoint: MigrationCheckpoint, cursor: dict[str, Any]) -> Step:
        if "again" not in cursor:
            return Step(cursor, finished=True)
        still = refused_so_far(checkpoint, cursor).count()
        change = still - checkpoint.counts.get("quarantined", 0)
        cursor = {name: value for name, value in cursor.items() if name != "again"}
        return Step(cursor, finished=False, counts=some({"quarantined": change}))


def keeps_changes(job: SynchronizationJob) -> bool:
    """Whether a row that the target changed stays as it is, although the source has another."""
    return job.conflict_resolution != SynchronizationJob.Resolution.SOURCE_WINS


def refused_so_far(
    checkpoint: MigrationCheckpoint, cursor: dict[str, Any]
) -> QuerySet[QuarantinedRow]:
    """Of the rows that were read up to `cursor` those that are in the quarantine now."""
    return QuarantinedRow.objects.filter(
        entity_type=checkpoint.entity_type, resolved_at=None, legacy_id__lte=cursor["after"]
    )


def too_many(
    checkpoint: MigrationCheckpoint, cursor: dict[str, Any], *, is_read: bool
) -> WorkFailed | None:
    """Why it can't go on, looked at before a step: the rows of the one before, and why each was
    refused, are kept."""
    rows, refused = checkpoint.records_processed, checkpoint.counts.get("quarantined", 0)
    if rows < JUDGED_FROM and not is_read:
        return None
    if not is_over(checkpoint, refused=refused, rows=rows):
        return None
    # Some may have been tried again by hand, and come good.
    refused = refused_so_far(checkpoint, cursor).count()
    if not is_over(checkpoint, refused=refused, rows=rows):
        return None
    return too_many_refused(
        checkpoint,
        refused=refused,
        rows=rows,
        looked_at="read",
        way_on="Mend the source or the declaration and retry, which tries these rows again; or "
        "raise the limit and retry.",
    )


def some(counts: dict[str, int]) -> dict[str, int]:
    return {name: number for name, number in counts.items() if number}
