"""Which differences are still to be decided."""

from __future__ import annotations

from django.db.models import QuerySet

from migrationsync.differences import Kind
from migrationsync.models import DifferentialRecord, SynchronizationJob

State = DifferentialRecord.State
# What couldn't be done may be tried again, or in another way.
UNDECIDED = (State.OPEN, State.FAILED)


def undecided_records(
    job: SynchronizationJob, *, entity: str | None = None, kind: Kind | None = None
) -> QuerySet[DifferentialRecord]:
    """A job's, but for what a later comparison has passed over."""
    records = DifferentialRecord.objects.filter(
        state__in=UNDECIDED,
        differential__resolved=False,
        differential__superseded_at=None,
        differential__checkpoint__sync_job=job,
    )
    if entity is not None:
        records = records.filter(differential__entity_type=entity)
    if kind is not None:
        records = records.filter(differential__kind=kind)
    return records
