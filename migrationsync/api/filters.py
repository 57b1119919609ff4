from __future__ import annotations

from typing import Any

import django_filters
from django import forms
from django.db.models import Q, QuerySet
from django.utils import timezone

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


class _ObjectField(forms.JSONField):
    default_error_messages = {"invalid": "Give a JSON object: {“name”: value}."}

    def to_python(self, value: Any) -> Any:
        found = super().to_python(value)
        # PostgreSQL's jsonb has no place for NUL.
        has_nul = "\\u0000" in str(value)
        if has_nul or (found is not None and not isinstance(found, dict)):
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return found


class ContainsFilter(django_filters.Filter):
    """A JSON object that the field's value has to contain."""

    field_class = _ObjectField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, lookup_expr="contains", **kwargs)


class CreatedFilter(django_filters.FilterSet):
    created_after = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")


class JobFilter(CreatedFilter):
    entity = django_filters.CharFilter(method="with_entity", label="It works on this entity.")
    recurs = django_filters.BooleanFilter(method="recurring")
    metadata = ContainsFilter(label="A JSON object that its metadata contains.")

    class Meta:
        model = SynchronizationJob
        fields = ["status", "job_type", "job_name", "sync_direction"]

    def with_entity(self, jobs: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        return jobs.filter(entities_to_sync__contains=[value])

    def recurring(self, jobs: QuerySet[Any], name: str, value: bool) -> QuerySet[Any]:
        never = Q(schedule_config={})
        return jobs.exclude(never) if value else jobs.filter(never)


class RunFilter(CreatedFilter):
    is_open = django_filters.BooleanFilter(method="open_ones")

    class Meta:
        model = SynchronizationRun
        fields = ["purpose", "outcome"]

    def open_ones(self, runs: QuerySet[Any], name: str, value: bool) -> QuerySet[Any]:
        is_open = Q(outcome=SynchronizationRun.Outcome.OPEN)
        return runs.filter(is_open if value else ~is_open)


# Of what belongs to others: ids, not choices. Those would tell which there are.
class CheckpointFilter(CreatedFilter):
    job = django_filters.UUIDFilter(field_name="sync_job_id")
    run = django_filters.UUIDFilter(field_name="run_id")
    entity = django_filters.CharFilter(field_name="entity_type")

    class Meta:
        model = MigrationCheckpoint
        fields = ["status", "operation_type"]


class DifferentialFilter(CreatedFilter):
    job = django_filters.UUIDFilter(field_name="checkpoint__sync_job_id")
    run = django_filters.UUIDFilter(field_name="checkpoint__run_id")
    entity = django_filters.CharFilter(field_name="entity_type")
    superseded = django_filters.BooleanFilter(
        field_name="superseded_at", lookup_expr="isnull", exclude=True
    )
    criteria = ContainsFilter(
        field_name="comparison_criteria",
        label='A JSON object that its criteria contain: {"compared_by": "checksum"}.',
    )

    class Meta:
        model = DataDifferential
        fields = ["kind", "comparison_type", "source_table", "resolved"]


class RecordFilter(django_filters.FilterSet):
    class Meta:
        model = DifferentialRecord
        fields = ["state", "strategy", "is_contested", "legacy_id", "uuid"]


class ChangeFilter(django_filters.FilterSet):
    job = django_filters.UUIDFilter(field_name="run__job_id")
    run = django_filters.UUIDFilter(field_name="run_id")
    record = django_filters.NumberFilter(field_name="record_id")
    entity = django_filters.CharFilter(field_name="entity_type")
    undone = django_filters.BooleanFilter(
        field_name="undone_at", lookup_expr="isnull", exclude=True
    )
    applied_after = django_filters.IsoDateTimeFilter(field_name="applied_at", lookup_expr="gte")
    applied_before = django_filters.IsoDateTimeFilter(field_name="applied_at", lookup_expr="lt")

    class Meta:
        model = AppliedChange
        fields = ["side", "action", "legacy_id", "uuid"]


class QuarantineFilter(django_filters.FilterSet):
    entity = django_filters.CharFilter(field_name="entity_type")
    batch = django_filters.CharFilter(field_name="migration_batch")
    resolved = django_filters.BooleanFilter(
        field_name="resolved_at", lookup_expr="isnull", exclude=True
    )

    class Meta:
        model = QuarantinedRow
        fields = ["legacy_id"]


class MappingFilter(django_filters.FilterSet):
    entity = django_filters.CharFilter(field_name="entity_type")
    uuid = django_filters.UUIDFilter(field_name="uuid_id")

    class Meta:
        model = LegacyIdMapping
        fields = ["legacy_id"]


class ReportFilter(django_filters.FilterSet):
    job = django_filters.UUIDFilter(field_name="run__job_id")
    run = django_filters.UUIDFilter(field_name="run_id")
    entity = django_filters.CharFilter(field_name="entity_type")
    type = django_filters.ChoiceFilter(
        field_name="validation_type", choices=MigrationValidationReport.Type.choices
    )
    passed = django_filters.BooleanFilter(field_name="validation_passed")
    expired = django_filters.BooleanFilter(method="expired_ones")
    generated_after = django_filters.IsoDateTimeFilter(field_name="generated_at", lookup_expr="gte")
    generated_before = django_filters.IsoDateTimeFilter(field_name="generated_at", lookup_expr="lt")
    criteria = ContainsFilter(
        field_name="validation_criteria", label="A JSON object that its criteria contain."
    )

    class Meta:
        model = MigrationValidationReport
        fields: list[str] = []

    def expired_ones(self, reports: QuerySet[Any], name: str, value: bool) -> QuerySet[Any]:
        now = timezone.now()
        return reports.filter(**{"expires_at__lte" if value else "expires_at__gt": now})
