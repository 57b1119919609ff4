"""Whether so many of an entity's rows are refused that its work had better stop."""

from __future__ import annotations

from migrationsync.models import MigrationCheckpoint
from migrationsync.works.base import failed
from operations.exceptions import WorkFailed

TOO_MANY_REFUSED = "too_many_refused"
# Of fewer rows a share says little, as long as more are to come.
JUDGED_FROM = 1_000


def is_over(checkpoint: MigrationCheckpoint, *, refused: int, rows: int) -> bool:
    return refused * 100 > checkpoint.sync_job.max_failed_percent * rows


def too_many_refused(
    checkpoint: MigrationCheckpoint, *, refused: int, rows: int, looked_at: str, way_on: str
) -> WorkFailed:
    limit = checkpoint.sync_job.max_failed_percent.normalize()
    return failed(
        TOO_MANY_REFUSED,
        f"{refused:,} of {rows:,} rows of {checkpoint.entity_type} that were {looked_at} were "
        f"refused, more than {limit:f} %: see the quarantine for the reasons. {way_on} What was "
        "brought over stays.",
    )
