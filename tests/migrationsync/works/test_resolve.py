"""What a run to resolve tells of itself."""

from __future__ import annotations

from migrationsync.models import DifferentialRecord
from migrationsync.services.decisions import resolve
from tests.migrationsync.syncing import sync, sync_to_end


def test_last_processed_id_is_the_records_at_every_stage(dispatch):
    dispatch.add_offices(41, 42, 43)
    job = dispatch.job(entities_to_sync=["offices"], max_deletes=9, max_deleted_percent=100)
    sync(job, "load")
    dispatch.change(41)
    dispatch.remove(42)
    sync(job, "compare")
    records = DifferentialRecord.objects.filter(differential__superseded_at=None)

    run = resolve(records, "source_wins", by=None, approved_deletes=1).run
    sync_to_end(job)

    last = dict(run.checkpoints.values_list("stage", "last_processed_id"))
    assert last == {"resolve-offices": "42", "delete-offices": "42", "check-offices": "42"}
