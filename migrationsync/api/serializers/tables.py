"""Entities as they are declared, and what is kept by entity: quarantine, mappings, reports."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from migrationsync.api.serializers.asked import AskedSerializer
from migrationsync.entities import Entity, ForeignKey
from migrationsync.models import LegacyIdMapping, MigrationValidationReport, QuarantinedRow
from migrationsync.returning import refusals
from migrationsync.services.quarantine import MAX_AT_ONCE


class SyncColumnSerializer(serializers.Serializer[Any]):
    field = serializers.CharField(help_text="The target's.")
    column = serializers.CharField(help_text="The source's.")
    entity = serializers.CharField(help_text="Of a foreign key: where it points to; else empty.")


class SyncEntitySerializer(serializers.Serializer[Any]):
    """A declaration, and what follows from it."""

    name = serializers.CharField()
    source_table = serializers.CharField(help_text="The legacy one.")
    key = serializers.CharField(help_text="Its integer key.")
    target_table = serializers.CharField()
    target_model = serializers.CharField()
    script = serializers.CharField(help_text="The migration script that it stands for.")
    declared_in = serializers.CharField()
    changed_at = serializers.CharField(help_text="The column that tells when a row was changed.")
    deleted = serializers.CharField(help_text="The column that marks a row as deleted.")
    depends_on = serializers.ListField(child=serializers.CharField())
    columns = SyncColumnSerializer(many=True)
    is_reversible = serializers.BooleanField(help_text="It can be synchronized both ways.")
    refusals = serializers.ListField(child=serializers.CharField(), help_text="Why it can't.")

    def to_representation(self, instance: Entity) -> dict[str, Any]:
        why_not = refusals(instance)
        return {
            "name": instance.name,
            "source_table": instance.source,
            "key": instance.key,
            "target_table": instance.target._meta.db_table,
            "target_model": instance.target._meta.label,
            "script": instance.script,
            "declared_in": instance.declared_in,
            "changed_at": instance.changed_at,
            "deleted": instance.deleted,
            "depends_on": list(instance.depends_on),
            "columns": [
                {
                    "field": name,
                    "column": column.source or name,
                    "entity": column.entity if isinstance(column, ForeignKey) else "",
                }
                for name, column in instance.columns.items()
            ],
            "is_reversible": not why_not,
            "refusals": why_not,
        }


class QuarantinedRowSerializer(serializers.ModelSerializer[QuarantinedRow]):
    url = serializers.HyperlinkedIdentityField(view_name="sync-quarantine-detail")

    class Meta:
        model = QuarantinedRow
        fields = [
            "id",
            "url",
            "source_alias",
            "entity_type",
            "legacy_id",
            "reasons",
            "data",
            "migration_batch",
            "attempts",
            "created_at",
            "updated_at",
            "resolved_at",
        ]
        read_only_fields = fields


class SyncRetrySerializer(AskedSerializer[Any]):
    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1), min_length=1, max_length=MAX_AT_ONCE
    )


class SyncRetriedSerializer(serializers.Serializer[Any]):
    """What became of the rows."""

    rows_read = serializers.IntegerField()
    inserted = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    quarantined = serializers.IntegerField(help_text="Refused again.")
    deleted = serializers.IntegerField(help_text="Marked as deleted in the source.")


class SyncMappingSerializer(serializers.ModelSerializer[LegacyIdMapping]):
    uuid = serializers.UUIDField(source="uuid_id", read_only=True)

    class Meta:
        model = LegacyIdMapping
        fields = [
            "id",
            "entity_type",
            "legacy_id",
            "uuid",
            "migration_batch",
            "migration_timestamp",
            "validation_status",
            "source_table",
            "target_table",
            "checksum",
            "target_checksum",
            "metadata",
        ]
        read_only_fields = fields


class SyncCacheSerializer(serializers.Serializer[Any]):
    """Of the process that answered: each has a cache of its own."""

    hits = serializers.IntegerField()
    misses = serializers.IntegerField()
    hit_rate = serializers.FloatField(allow_null=True)
    size = serializers.IntegerField()
    capacity = serializers.IntegerField()


class SyncReportSerializer(serializers.ModelSerializer[MigrationValidationReport]):
    url = serializers.HyperlinkedIdentityField(view_name="sync-report-detail")
    job = serializers.UUIDField(source="run.job_id", read_only=True)

    class Meta:
        model = MigrationValidationReport
        fields = [
            "id",
            "url",
            "job",
            "run",
            "entity_type",
            "validation_type",
            "source_entity",
            "target_entity",
            "records_validated",
            "validation_passed",
            "discrepancies_found",
            "discrepancy_details",
            "validation_criteria",
            "execution_time_ms",
            "generated_at",
            "expires_at",
            "metadata",
        ]
        read_only_fields = fields
