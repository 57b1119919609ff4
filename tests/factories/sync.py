"""Rows of the migration for tests."""

import factory
from factory.django import DjangoModelFactory

from migrationsync.identifiers import uuid7
from migrationsync.models import (
    DataDifferential,
    DifferentialRecord,
    LegacyIdMapping,
    MigrationCheckpoint,
    QuarantinedRow,
    SynchronizationJob,
    SynchronizationRun,
)


class JobFactory(DjangoModelFactory):
    class Meta:
        model = SynchronizationJob

    job_name = factory.Sequence(lambda number: f"Nightly {number}")
    entities_to_sync = factory.List(["offices"])


class RunFactory(DjangoModelFactory):
    class Meta:
        model = SynchronizationRun

    job = factory.SubFactory(JobFactory)
    number = factory.LazyAttribute(lambda run: run.job.runs.count() + 1)
    purpose = "compare"
    entities = factory.SelfAttribute("job.entities_to_sync")


class CheckpointFactory(DjangoModelFactory):
    class Meta:
        model = MigrationCheckpoint

    run = factory.SubFactory(RunFactory)
    sync_job = factory.SelfAttribute("run.job")
    operation_type = "sync_operation"
    entity_type = "offices"
    name = "CompareEntity"
    stage = factory.LazyAttribute(lambda checkpoint: f"compare-{checkpoint.entity_type}")
    batch_size = 1_000


class DifferentialFactory(DjangoModelFactory):
    """With its records: `legacy_ids` has one for each."""

    class Meta:
        model = DataDifferential
        skip_postgeneration_save = True

    checkpoint = factory.SubFactory(CheckpointFactory)
    entity_type = factory.SelfAttribute("checkpoint.entity_type")
    source_table = "dispatch_office"
    target_table = "offices"
    comparison_type = "conflicted_records"
    kind = "both_changed"
    legacy_ids = factory.List([1])
    record_count = factory.LazyAttribute(lambda differential: len(differential.legacy_ids))
    comparison_criteria = factory.LazyAttribute(
        lambda differential: {"compared_by": "checksum", "kind": differential.kind}
    )

    @factory.post_generation
    def records_made(differential, create, extracted):
        if create:
            DifferentialRecord.objects.bulk_create(
                DifferentialRecord(
                    differential=differential,
                    legacy_id=each if isinstance(each, int) else None,
                    uuid=None if isinstance(each, int) else each,
                )
                for each in differential.legacy_ids
            )


class MappingFactory(DjangoModelFactory):
    class Meta:
        model = LegacyIdMapping

    entity_type = "offices"
    # Far from those that tests choose.
    legacy_id = factory.Sequence(lambda number: number + 1_000_001)
    uuid_id = factory.LazyFunction(uuid7)
    migration_batch = "first"
    source_table = "dispatch_office"
    target_table = "offices"
    checksum = "0" * 32
    target_checksum = "0" * 32


class QuarantinedRowFactory(DjangoModelFactory):
    class Meta:
        model = QuarantinedRow

    entity_type = "offices"
    # Far from those that tests choose.
    legacy_id = factory.Sequence(lambda number: number + 1_000_001)
    reasons = factory.LazyFunction(
        lambda: [{"column": "rent", "value": "x", "problem": "is no number"}]
    )
    data = factory.LazyAttribute(lambda row: {"id": row.legacy_id, "rent": "x"})
    migration_batch = "first"
