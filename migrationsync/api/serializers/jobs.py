"""Jobs, their runs and how far those have come."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers

from migrationsync.api.serializers.asked import AskedSerializer
from migrationsync.models import (
    MigrationCheckpoint,
    MigrationValidationReport,
    SynchronizationJob,
    SynchronizationRun,
)
from migrationsync.models.schemas import SCHEDULE, MatchesSchema
from migrationsync.services.jobs import FIELDS
from operations.api.serializers import OperationSerializer


class SyncRunSerializer(serializers.ModelSerializer[SynchronizationRun]):
    url = serializers.HyperlinkedIdentityField(view_name="sync-run-detail")
    started_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)
    outcome = serializers.ChoiceField(
        SynchronizationRun.Outcome.choices, read_only=True, help_text="Empty: it is open."
    )
    question = serializers.JSONField(
        read_only=True,
        help_text="What it stopped to ask: how many records of which entity it would delete.",
    )

    class Meta:
        model = SynchronizationRun
        fields: ClassVar[list[str]] = [
            "id",
            "url",
            "job",
            "number",
            "purpose",
            "entities",
            "options",
            "started_by",
            "is_scheduled",
            "created_at",
            "ended_at",
            "outcome",
            "counts",
            "question",
            "approved_deletes",
        ]
        read_only_fields = fields


class SyncJobSerializer(OperationSerializer):
    url = serializers.HyperlinkedIdentityField(view_name="sync-job-detail")
    latest_run = SyncRunSerializer(read_only=True, help_text="The open one, or the last.")

    class Meta:
        model = SynchronizationJob
        fields = [
            *OperationSerializer.Meta.fields,
            *FIELDS,
            "latest_run",
            "last_run_at",
            "next_run_at",
            "total_records_synced",
            "success_rate",
            "average_duration_ms",
        ]
        read_only_fields = fields


class SyncJobInputSerializer(
    AskedSerializer[SynchronizationJob], serializers.ModelSerializer[SynchronizationJob]
):
    """What a job is created and changed with. What the model's rules say is asked for by the
    service."""

    class Meta:
        model = SynchronizationJob
        fields = FIELDS


class SyncRunRequestSerializer(AskedSerializer[Any]):
    """What a run is started with; without anything, what “Run now” does."""

    purpose = serializers.ChoiceField(
        SynchronizationRun.Purpose.choices,
        required=False,
        help_text="Else: load for a differential migration, sync for the others. A run to resolve "
        "is started by resolving differentials.",
    )
    entities = serializers.ListField(
        child=serializers.CharField(max_length=64),
        required=False,
        min_length=1,
        help_text="Only these of the job's.",
    )
    since = serializers.DateTimeField(
        required=False,
        help_text="To compare and to sync: only what was changed since, by the source's time "
        "stamps. Deleted rows aren't seen so.",
    )
    source_only = serializers.BooleanField(
        required=False,
        help_text="To compare: only what the source did, which is quicker.",
    )
    types = serializers.ListField(
        child=serializers.ChoiceField(MigrationValidationReport.Type.choices),
        required=False,
        min_length=1,
        help_text="To validate: only so.",
    )


class SyncScheduleRequestSerializer(AskedSerializer[Any]):
    schedule_config = serializers.JSONField(
        validators=[MatchesSchema(SCHEDULE)],
        help_text='{"cron": "30 2 * * *"} or {"interval_minutes": 15}; {}: only when asked to.',
    )


class SyncScheduleSerializer(serializers.Serializer[Any]):
    in_words = serializers.CharField()
    time_zone = serializers.CharField()
    next_runs = serializers.ListField(child=serializers.DateTimeField())


class SyncCheckpointSerializer(serializers.ModelSerializer[MigrationCheckpoint]):
    url = serializers.HyperlinkedIdentityField(view_name="sync-checkpoint-detail")
    job = serializers.PrimaryKeyRelatedField[Any](source="sync_job", read_only=True)

    class Meta:
        model = MigrationCheckpoint
        fields = [
            "id",
            "url",
            "job",
            "run",
            "operation_type",
            "entity_type",
            "stage",
            "status",
            "last_processed_id",
            "records_processed",
            "records_total",
            "batch_size",
            "counts",
            "error_code",
            "error_message",
            "created_at",
            "started_at",
            "completed_at",
            "updated_at",
            "metadata",
        ]
        read_only_fields = fields
