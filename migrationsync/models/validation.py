"""What a validation of an entity found."""

from __future__ import annotations

from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q

from migrationsync.identifiers import uuid7
from migrationsync.models.constraints import json_of, one_of
from migrationsync.models.jobs import SynchronizationRun
from migrationsync.models.schemas import DISCREPANCIES, OBJECT, MatchesSchema
from migrationsync.querysets import ReportQuerySet


class MigrationValidationReport(models.Model):
    """One kind of validation of one entity.

    `discrepancy_details` is a list of {"what", "count", "examples"}: what is wrong, with how
    many records, and the first of their ids.
    """

    class Type(models.TextChoices):
        DATA_INTEGRITY = "data_integrity", "Data integrity"
        RELATIONSHIP_INTEGRITY = "relationship_integrity", "Relationship integrity"
        COMPLETENESS_CHECK = "completeness_check", "Completeness"
        PERFORMANCE_CHECK = "performance_check", "Performance"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    run = models.ForeignKey(SynchronizationRun, on_delete=models.CASCADE, related_name="reports")
    entity_type = models.CharField(max_length=64, db_collation="C")
    validation_type = models.CharField(max_length=32, choices=Type.choices)
    source_entity = models.CharField(max_length=128)
    target_entity = models.CharField(max_length=128)
    records_validated = models.PositiveBigIntegerField()
    validation_passed = models.BooleanField()
    discrepancies_found = models.PositiveBigIntegerField()
    discrepancy_details = models.JSONField(
        default=list, blank=True, validators=[MatchesSchema(DISCREPANCIES)]
    )
    validation_criteria = models.JSONField(default=dict, validators=[MatchesSchema(OBJECT)])
    execution_time_ms = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    generated_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    metadata = models.JSONField(default=dict, blank=True, validators=[MatchesSchema(OBJECT)])

    objects = ReportQuerySet.as_manager()

    class Meta:
        db_table = "migration_validation_reports"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["entity_type", "-generated_at"], name="validation_reports_newest"),
            GinIndex(
                fields=["validation_criteria"],
                name="validation_reports_criteria",
                opclasses=["jsonb_path_ops"],
            ),
        ]
        constraints = [
            one_of(
                "validation_type",
                "data_integrity",
                "relationship_integrity",
                "completeness_check",
                "performance_check",
                name="validation_reports_type",
            ),
            json_of("discrepancy_details", "array", name="validation_reports_details"),
            json_of("validation_criteria", "object", name="validation_reports_is_by_criteria"),
            json_of("metadata", "object", name="validation_reports_metadata"),
            models.UniqueConstraint(
                fields=["run", "entity_type", "validation_type"], name="validation_reports_once"
            ),
            models.CheckConstraint(
                name="validation_reports_passed_without_discrepancies",
                condition=Q(validation_passed=False) | Q(discrepancies_found=0),
                violation_error_message="What passed has no discrepancies.",
            ),
            models.CheckConstraint(
                name="validation_reports_discrepancies_have_details",
                condition=Q(discrepancies_found=0) | ~Q(discrepancy_details=[]),
                violation_error_message="Discrepancies need their details.",
            ),
            models.CheckConstraint(
                name="validation_reports_expires_later",
                condition=Q(expires_at__gt=F("generated_at")),
                violation_error_message="A report must expire after it was made.",
            ),
            models.CheckConstraint(
                name="validation_reports_took_time",
                condition=Q(execution_time_ms__gt=0),
                violation_error_message="The execution time must be positive.",
            ),
        ]

    def __str__(self) -> str:
        passed = "passed" if self.validation_passed else f"{self.discrepancies_found:,} wrong"
        return f"{self.entity_type}, {self.get_validation_type_display().lower()}: {passed}"
