"""Brings a whole entity over: batch after batch, each in a step with its mappings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL

from migrationsync.loading import prepare, write
from migrationsync.loading.preparing import Prepared
from migrationsync.loading.refusals import Refusal
from migrationsync.loading.writing import mended_by_others
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
# Of a row that was refused for nothing but these problems.
_ONLY = """NOT EXISTS (SELECT FROM jsonb_array_elements(reasons) r
    WHERE r.value ->> 'problem' <> ALL(%s))"""


@dataclass(frozen=True)
class _Batch:
    """`tried_again`: rows of the quarantine, down to and with this key."""

    prepared: Prepared
    tried_again: int | None = None


class LoadEntity(EntityWork):
    """Reads up to the greatest key there was at the beginning, so that it ends although the
    source grows.

    Behind the last batch it tries again what other rows of the table may have mended since (a
    parent that came later, two that swapped a unique value): pass after pass, as long as one
    brings a row over. The metadata's "waiting" says how many there are; they don't count as
    refused before the end.

    The cursor: {"after": key}; with "is_read" where all is read, and only refused rows and the
    verdict on them are left; with "again" while those are tried, down from that key, and with
    "is_better" once one of them came good. "of_all": those of a retry, whatever their reasons.
    """

    def try_again(self, checkpoint: MigrationCheckpoint) -> None:
        checkpoint.cursor = {**(checkpoint.cursor or {}), "again": None, "of_all": True}
        checkpoint.save(update_fields=["cursor"])

    def begin(self, checkpoint: MigrationCheckpoint) -> Beginning:
        source, table = self.source(checkpoint), self.table(checkpoint)
        until = source.high_water(table, self.entity(checkpoint).key)
        return Beginning(source.count(table), {"until": until})

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
            cursor = {**cursor, "again": batch.tried_again}
            if any(counts.values()):
                cursor["is_better"] = True
            return Step(cursor, finished=False, counts=some(counts))
        counts |= {"quarantined": len(written.refusals), "deleted": prepared.deleted}
        cursor = {"after": cursor.get("after") if prepared.last is None else prepared.last}
        is_waiting = self._note_waiting(checkpoint, written.refusals)
        is_refused = is_over(
            checkpoint,
            refused=checkpoint.counts.get("quarantined", 0) + len(written.refusals),
            rows=checkpoint.records_processed + prepared.rows_read,
        )
        is_left = prepared.finished and (is_waiting or is_refused)
        if is_left:
            cursor |= {"is_read": True, "again": None} if is_waiting else {"is_read": True}
        return Step(
            cursor,
            finished=prepared.finished and not is_left,
            rows=prepared.rows_read,
            done=prepared.rows_read,
            counts=some(counts),
        )

    def _note_waiting(self, checkpoint: MigrationCheckpoint, refusals: Sequence[Refusal]) -> int:
        """Adds those that other rows may mend to the metadata's "waiting"; answers how many there
        are."""
        problems = mended_by_others(self.entity(checkpoint))
        waiting = int(checkpoint.metadata.get("waiting", 0)) + sum(
            all(error.why in problems for error in each.errors) for each in refusals
        )
        if waiting:
            checkpoint.metadata = {**checkpoint.metadata, "waiting": waiting}
        return waiting

    def _read_again(
        self, checkpoint: MigrationCheckpoint, cursor: dict[str, Any], size: int
    ) -> _Batch | None:
        """From the greatest key down: parents have the greater keys where they come too late."""
        refused = refused_so_far(checkpoint, cursor)
        if not cursor.get("of_all"):
            refused = self._waiting(checkpoint, refused)
        if cursor["again"] is not None:
            refused = refused.filter(legacy_id__lt=cursor["again"])
        keys = list(refused.order_by("-legacy_id").values_list("legacy_id", flat=True)[:size])
        while keys:
            prepared = prepare(
                self.entity(checkpoint),
                self.source(checkpoint),
                self.table(checkpoint),
                keys=sorted(keys),
                size=len(keys),
            )
            if len(prepared.keys or ()) == len(keys):
                return _Batch(prepared, tried_again=keys[-1])
            # Cut by its bytes, at the end from which it is to begin.
            keys = keys[: len(keys) // 2]
        return None

    def _without_rows(self, checkpoint: MigrationCheckpoint, cursor: dict[str, Any]) -> Step:
        if "again" not in cursor:
            return Step(cursor, finished=True)
        refused = refused_so_far(checkpoint, cursor)
        waiting = self._waiting(checkpoint, refused).count()
        checkpoint.metadata = {**checkpoint.metadata, "waiting": waiting}
        change = refused.count() - checkpoint.counts.get("quarantined", 0)
        ended = ("again", "of_all", "is_better")
        behind = {name: value for name, value in cursor.items() if name not in ended}
        if waiting and cursor.get("is_read") and cursor.get("is_better"):
            behind["again"] = None
        return Step(behind, finished=False, counts=some({"quarantined": change}))

    def _waiting(
        self, checkpoint: MigrationCheckpoint, refused: QuerySet[QuarantinedRow]
    ) -> QuerySet[QuarantinedRow]:
        """Of `refused` those of this run that other rows may have mended."""
        problems = mended_by_others(self.entity(checkpoint))
        if not problems:
            return refused.none()
        is_waiting = RawSQL(_ONLY, [sorted(problems)], output_field=BooleanField())  # noqa: S611
        return refused.filter(is_waiting, migration_batch=batch_name(checkpoint.run))


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
    waiting = 0 if is_read else checkpoint.metadata.get("waiting", 0)
    if not is_over(checkpoint, refused=refused - waiting, rows=rows):
        return None
    # Some may have been tried again by hand, and come good.
    refused = refused_so_far(checkpoint, cursor).count() - waiting
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
