"""Many rows of every table of the migration, made by the database, for its planner to choose by.

Of what a query looks for there are a few among many: that is what an index is for.
"""

from __future__ import annotations

from django.contrib.auth import get_user_model
from django.db import connection

from migrationsync.models import (
    AppliedChange,
    DataDifferential,
    DifferentialRecord,
    LegacyIdMapping,
    MigrationCheckpoint,
    MigrationValidationReport,
    QuarantinedRow,
    SynchronizationJob,
    SynchronizationRun,
)
from tests.factories.sync import (
    CheckpointFactory,
    DifferentialFactory,
    JobFactory,
    MappingFactory,
    QuarantinedRowFactory,
    RunFactory,
)
from tests.migrationsync.models.test_validation import make_report

MODELS = (
    SynchronizationJob,
    SynchronizationRun,
    MigrationCheckpoint,
    DataDifferential,
    DifferentialRecord,
    LegacyIdMapping,
    QuarantinedRow,
    MigrationValidationReport,
    AppliedChange,
)
_ROWS = 5_000
_NUMBERS = f"generate_series(1, {_ROWS}) AS s (n)"
_JOBS = "(SELECT row_number() OVER (), id FROM synchronization_jobs) AS s (n, other)"
_RUNS = (
    "(SELECT row_number() OVER (), id FROM synchronization_runs WHERE outcome <> '') "
    "AS s (n, other)"
)


class Filled:
    """The first row of each table; the others are made from it."""

    def __init__(self) -> None:
        self.user = get_user_model().objects.create(username="of the indexes")
        self.job = JobFactory(requested_by=self.user, metadata={"team": "first"})
        self.run = RunFactory(job=self.job, number=1_000_000)
        self.checkpoint = CheckpointFactory(run=self.run)
        self.differential = DifferentialFactory(checkpoint=self.checkpoint)
        self.record = self.differential.records.get()
        self.mapping = MappingFactory(legacy_id=0)
        self.quarantined = QuarantinedRowFactory(legacy_id=0)
        self.report = make_report(run=self.run)
        self.change = AppliedChange.objects.create(
            entity_type="offices", legacy_id=0, action="load", side="target"
        )
        self._fill()
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {', '.join(each._meta.db_table for each in MODELS)}")

    def _fill(self) -> None:
        clone(
            self.job,
            _NUMBERS,
            id="gen_random_uuid()",
            job_name="'Filled ' || n",
            status="CASE WHEN n % 200 = 0 THEN 'paused' ELSE 'completed' END",
            next_run_at="now() + n * interval '1 minute'",
            job_type="CASE WHEN n % 200 = 0 THEN 'scheduled_sync' ELSE 'manual_sync' END",
            schedule_config="jsonb_build_object('interval_minutes', n)",
            metadata="jsonb_build_object('team', 'team ' || n)",
            ended_at="CASE WHEN n % 200 = 0 THEN now() END",
        )
        clone(
            self.run,
            _JOBS,
            id="gen_random_uuid()",
            job_id="other",
            number="n",
            outcome="'completed'",
        )
        clone(
            self.checkpoint,
            _NUMBERS,
            id="gen_random_uuid()",
            status="CASE WHEN n % 200 = 0 THEN 'in_progress' ELSE 'completed' END",
            entity_type="'entity ' || n % 50",
            stage="'load-entity ' || n % 50",
            operation_type="CASE WHEN n % 200 = 0 THEN 'validation' ELSE 'sync_operation' END",
            records_processed="20000",
            records_total="20000",
            started_at="now()",
            completed_at="now() + interval '1 minute'",
            due_at="CASE WHEN n % 200 = 0 THEN now() END",
            lease_until="CASE WHEN n % 200 = 0 THEN now() + interval '1 hour' END",
        )
        clone(
            self.differential,
            _NUMBERS,
            id="gen_random_uuid()",
            entity_type="'entity ' || n % 50",
            source_table="'table ' || n % 100",
            resolved="n % 100 <> 0",
            resolved_at="now()",
            comparison_criteria="jsonb_build_object('column', 'c' || n)",
        )
        clone(
            self.record,
            _NUMBERS,
            id="1000000 + n",
            state="CASE WHEN n % 200 = 0 THEN 'open' ELSE 'resolved' END",
            decided_at="now()",
            resolving_run_id=f"CASE WHEN n % 400 = 0 THEN '{self.run.pk}' END",
        )
        clone(
            self.mapping,
            f"generate_series(1, {4 * _ROWS}) AS s (n)",
            id="gen_random_uuid()",
            legacy_id="n",
            uuid_id="gen_random_uuid()",
        )
        clone(
            self.quarantined,
            _NUMBERS,
            id="1000000 + n",
            legacy_id="n",
            resolved_at="CASE WHEN n % 200 <> 0 THEN now() END",
        )
        clone(
            self.report,
            _RUNS,
            id="gen_random_uuid()",
            run_id="other",
            entity_type="'entity ' || n % 50",
            generated_at="now() - n * interval '1 minute'",
            expires_at="now() + interval '1 day'",
            validation_criteria="jsonb_build_object('column', 'c' || n)",
        )
        clone(
            self.change,
            _NUMBERS,
            id="gen_random_uuid()",
            legacy_id="n",
            uuid="gen_random_uuid()",
        )


def clone(row, series, **columns) -> None:
    """For each row of `series` (n, and what else it names) one like `row`, but for `columns`."""
    table = row._meta.db_table
    changed = ", ".join(f"'{name}', {sql}" for name, sql in columns.items())
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} SELECT made.* FROM {table} first, {series}, "
            f"LATERAL jsonb_populate_record(first, jsonb_build_object({changed})) AS made "
            f"WHERE first.id = '{row.pk}'"
        )
