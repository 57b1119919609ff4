"""Every index is used by the query it is for: the product's own, as it asks it."""

from __future__ import annotations

import uuid

import pytest
from django.db import connection, models, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from migrationsync import lookup, runs
from migrationsync.api.filters import (
    CheckpointFilter,
    DifferentialFilter,
    JobFilter,
    MappingFilter,
    ReportFilter,
)
from migrationsync.comparing.sides import StoredSide
from migrationsync.entities import entities
from migrationsync.models import (
    AppliedChange,
    DataDifferential,
    DifferentialRecord,
    MigrationCheckpoint,
    MigrationValidationReport,
    QuarantinedRow,
)
from migrationsync.validating import Performance
from migrationsync.works import recording
from operations import notifications
from tests.migrationsync.models.filling import MODELS, Filled

pytestmark = pytest.mark.django_db

OFFICES = entities.get("offices")


@pytest.fixture(scope="module")
def filled(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        with transaction.atomic():
            yield Filled()
            transaction.set_rollback(True)
        # What was rolled back still lies in the files, and the planner would count it.
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {', '.join(each._meta.db_table for each in MODELS)} CASCADE")


def filtered(filter_set, **asked):
    """What the API's list asks with these parameters."""
    filters = filter_set(asked, queryset=filter_set._meta.model.objects.all())
    assert filters.is_valid(), filters.errors
    return filters.qs


def newest(queryset):
    return queryset.order_by("-pk")[:51]


def performance(filled):
    validation = Performance(entities.get("offices"), None, None)
    # Of as many entities as there are, one that has its share.
    validation.entity = type("Named", (), {"name": "entity 7"})
    return validation._rows_per_second


# By index: what is asked. A query set, or what asks by itself.
QUERIES = {
    # The kernel's: what is due, what runs, what an owner hasn't seen.
    "checkpoint_due_at": lambda f: MigrationCheckpoint.objects.filter(due_at__lte=Now()).order_by(
        "due_at"
    )[:100],
    "checkpoint_lease_until": lambda f: MigrationCheckpoint.objects.filter(
        lease_until__gt=Now()
    ).order_by(),
    "synchronizationjob_unseen": lambda f: lambda: notifications.count(f.user),
    # The original's.
    "idx_checkpoint_status_entity": performance,
    "idx_checkpoint_operation_type": lambda f: newest(
        filtered(
            CheckpointFilter, operation_type="validation", created_after="2020-01-01T00:00:00Z"
        )
    ),
    "idx_differential_table_type": lambda f: newest(
        filtered(DifferentialFilter, source_table="table 7", comparison_type="conflicted_records")
    ),
    "idx_differential_resolved": lambda f: newest(
        filtered(DifferentialFilter, resolved="false", created_after="2020-01-01T00:00:00Z")
    ),
    "idx_sync_job_status": lambda f: newest(filtered(JobFilter, status="paused")),
    "idx_sync_job_type_schedule": lambda f: newest(
        filtered(JobFilter, job_type="scheduled_sync", recurs="false")
    ),
    "legacy_id_mappings_legacy_once": lambda f: lambda: lookup.uuid_of("offices", -5),
    "legacy_id_mappings_uuid_once": lambda f: newest(
        filtered(MappingFilter, entity="offices", uuid=str(uuid.uuid4()))
    ),
    # JSON.
    "idx_sync_job_metadata": lambda f: newest(filtered(JobFilter, metadata='{"team": "team 7"}')),
    "idx_differential_criteria": lambda f: newest(
        filtered(DifferentialFilter, criteria='{"column": "c7"}')
    ),
    "validation_reports_criteria": lambda f: newest(
        filtered(ReportFilter, criteria='{"column": "c7"}')
    ),
    # What is open.
    "idx_differential_open": lambda f: DataDifferential.objects.filter(
        entity_type="entity 0", kind="both_changed", resolved=False, superseded_at=None
    ),
    "differential_records_undecided": lambda f: f.differential.records.undecided().order_by("pk")[
        :51
    ],
    "differential_records_to_do": lambda f: DifferentialRecord.objects.filter(
        resolving_run=f.run, state="open", id__gt=5
    ).order_by("id")[:1_000],
    "migration_quarantine_open": lambda f: (
        lambda: StoredSide(OFFICES).quarantined([200, 201, 202, 400])
    ),
    "synchronization_runs_one_open": lambda f: f.job.runs.filter(outcome="").order_by(),
    # Once each.
    "synchronization_runs_once": lambda f: lambda: runs.next_number(f.job),
    "migration_quarantine_once": lambda f: QuarantinedRow.objects.filter(
        entity_type="offices", legacy_id=7
    ),
    "validation_reports_once": lambda f: MigrationValidationReport.objects.filter(
        run=f.run, entity_type="offices"
    ).order_by("validation_type"),
    # The history of a record, and of an entity's validations.
    "applied_changes_of_record": lambda f: AppliedChange.objects.filter(
        entity_type="offices", legacy_id=7
    ).order_by("-id")[:20],
    "applied_changes_of_run": lambda f: AppliedChange.objects.filter(
        run=f.run, entity_type="offices"
    ).order_by()[:1],
    "applied_changes_of_uuid": lambda f: AppliedChange.objects.filter(
        entity_type="offices", uuid=uuid.uuid4()
    ),
    "validation_reports_newest": lambda f: filtered(
        ReportFilter, entity="entity 7", generated_after="2020-01-01T00:00:00Z"
    ).order_by("-generated_at")[:1],
}


def plan_of(asked):
    if isinstance(asked, models.QuerySet):
        return asked.explain()
    with CaptureQueriesContext(
        connection,
    ) as captured:
        asked()
    lines = []
    with connection.cursor() as cursor:
        for query in captured.captured_queries:
            if query["sql"].startswith(("SELECT", "UPDATE", "(SELECT")):
                cursor.execute("EXPLAIN " + query["sql"])
                lines += [line for (line,) in cursor.fetchall()]
    return "\n".join(lines)


def declared():
    found = set()
    for model in MODELS:
        found |= {index.name for index in model._meta.indexes}
        found |= {
            each.name
            for each in model._meta.constraints
            if isinstance(each, models.UniqueConstraint)
        }
    return found


def test_every_index_has_its_query() -> None:
    assert set(QUERIES) == declared()


@pytest.mark.parametrize("index", QUERIES)
def test_index_is_used(index, filled) -> None:
    plan = plan_of(QUERIES[index](filled))
    assert f"{index} on" in plan or f"on {index}" in plan or f"using {index}" in plan, plan


def test_closing_older_differentials_reads_the_open_ones_only(filled) -> None:
    def supersede():
        with transaction.atomic():
            filled.checkpoint.entity_type = "entity 0"
            recording.supersede(filled.checkpoint, {"compared_by": "checksum", "sides": []})
            transaction.set_rollback(True)

    assert "idx_differential_open" in plan_of(supersede)
