"""The legacy database goes away while it is read, and the target's server dies while it is
written: both come back, and the run goes on by itself."""

import pytest

from config import embedded_postgres
from config.legacy import legacy_database
from migrationsync.models import LegacyIdMapping
from migrationsync.services.running import start_run
from tests.faults.slowing import slowed
from tests.faults.synchronizing import assert_sound, legacy, make_job, wait_for_completion
from tests.processes import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

SCALE = 0.004
ENVIRONMENT = {
    "OPERATION_LEASE_SECONDS": 3,
    "OPERATION_TIME_BUDGET_SECONDS": 5,
    "OPERATION_STEP_TARGET_MS": 20,
}


def migrated():
    return LegacyIdMapping.objects.count()


def test_run_goes_on_by_itself_when_the_source_comes_back(
    start_workers, tmp_path, django_db_blocker
):
    folder = tmp_path / "legacy"
    url = embedded_postgres.ensure_running(folder)
    try:
        with django_db_blocker.unblock(), legacy(legacy_database(url), scale=SCALE) as source:
            start_workers(workers=2, environment={**ENVIRONMENT, "LEGACY_DATABASE_URL": url})
            job = make_job(job_type="differential_migration")
            with slowed("legacy_id_mappings"):
                start_run(job, by=None)
                wait_until(lambda: migrated() > 400, "some rows are migrated")
                source.connection.close()
                embedded_postgres.stop(folder)

                def waits():
                    job.refresh_from_db()
                    return job.display_status == "waiting" and job.waiting_reason

                assert "legacy" in wait_until(waits, "it waits, and says for what")
            there = migrated()
            assert job.status == "running"
            assert embedded_postgres.ensure_running(folder) == url
            wait_for_completion(job)
            assert migrated() > there
            assert_sound(job, source)
    finally:
        embedded_postgres.stop(folder)


def test_run_whose_target_restarts_3_times_is_sound(
    server, start_workers_there, tmp_path, django_db_blocker
):
    url = f"sqlite:///{tmp_path}/legacy.sqlite3"
    with django_db_blocker.unblock(), legacy(legacy_database(url), scale=SCALE) as source:
        start_workers_there(workers=2, environment={**ENVIRONMENT, "LEGACY_DATABASE_URL": url})
        job = make_job(job_type="differential_migration")
        start_run(job, by=None)
        for at in (1, 1_000, 2_500):
            wait_until(lambda at=at: migrated() >= at, f"{at} rows are migrated")
            job.refresh_from_db()
            assert job.latest_run.is_open
            server.restart_immediately()
        wait_for_completion(job)
        assert_sound(job, source)
