"""Workers are killed while they migrate a database, and while they synchronize both ways."""

import random

import pytest

from config.legacy import legacy_database
from migrationsync.dispatch.models import Product
from migrationsync.models import AppliedChange, LegacyIdMapping, SourceWrite
from migrationsync.services.jobs import change_job
from migrationsync.services.running import start_run
from tests.faults.killing import kill_workers
from tests.faults.slowing import slowed
from tests.faults.synchronizing import (
    assert_sound,
    execute,
    legacy,
    make_job,
    wait_for_completion,
)

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

KILLS = 8
EDITED = 600
ENVIRONMENT = {
    "OPERATION_LEASE_SECONDS": 2,
    "OPERATION_TIME_BUDGET_SECONDS": 2,
    "OPERATION_STEP_TARGET_MS": 20,
}


def test_nothing_is_lost_and_nothing_twice_when_workers_are_killed(
    start_workers, tmp_path, request, django_db_blocker
):
    seed = request.config.getoption("randomly_seed")
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    url = f"sqlite:///{tmp_path}/legacy.sqlite3"
    with django_db_blocker.unblock(), legacy(legacy_database(url), scale=0.004) as source:
        cluster = start_workers(
            workers=2, stall_seconds=6, environment={**ENVIRONMENT, "LEGACY_DATABASE_URL": url}
        )
        job = make_job(job_type="differential_migration", conflict_resolution="source_wins")

        with slowed("legacy_id_mappings"):
            start_run(job, by=None)
            job.refresh_from_db()
            kill_workers(job, cluster, chance, times=KILLS)
        wait_for_completion(job)
        assert_sound(job, source)

        edit_both_sides()
        job = change_job(
            job,
            by=None,
            job_type="manual_sync",
            sync_direction="bidirectional",
            max_deletes=10_000,
            max_deleted_percent=100,
        )
        rows = execute("SELECT count(*) FROM dispatch_product")
        with slowed("migration_applied_changes"):
            start_run(job, by=None)
            job.refresh_from_db()
            kill_workers(job, cluster, chance, times=KILLS)
        wait_for_completion(job)
        assert_sound(job, source)
        # What was new in the target is in the source, once each.
        assert execute("SELECT count(*) FROM dispatch_product")[0][0] == rows[0][0] + EDITED
        assert execute("SELECT count(*), count(DISTINCT sku) FROM dispatch_product "
                       "WHERE title = 'New here'") == [(EDITED, EDITED)]  # fmt: skip

        # Whatever was killed when: what was given back can be undone.
        written = AppliedChange.objects.filter(run=job.latest_run, side="source")
        assert written.count() == written.values("legacy_id").distinct().count() == 2 * EDITED
        assert not SourceWrite.objects.exists()

        # A second run right after changes nothing.
        run, _ = start_run(job, by=None)
        job.refresh_from_db()
        wait_for_completion(job)
        run.refresh_from_db()
        assert not run.changes.exists()


def edit_both_sides():
    """Of the products so many are edited in the source, others in the target, and as many are
    new there."""
    keys = LegacyIdMapping.objects.filter(entity_type="products").order_by("legacy_id")
    mapped = list(keys.values_list("legacy_id", "uuid_id")[: 2 * EDITED])
    ours, theirs = mapped[:EDITED], mapped[EDITED:]
    for key, _ in theirs:
        execute("UPDATE dispatch_product SET title = 'Theirs' WHERE id = %s", [key])
    Product.objects.filter(pk__in=[uuid for _, uuid in ours]).update(name="Ours")
    example = Product.objects.get(pk=ours[0][1])
    Product.objects.bulk_create(
        Product(
            order_id=example.order_id,
            sku=f"NEW-{number}",
            name="New here",
            quantity=1,
            unit_price=1,
            is_gift=False,
            created_at=example.created_at,
            updated_at=example.updated_at,
        )
        for number in range(EDITED)
    )
