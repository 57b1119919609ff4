"""How far a run has come with one entity: the kernel's job of this app."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q

from migrationsync.identifiers import uuid7
from migrationsync.models.constraints import json_of, one_of
from migrationsync.models.jobs import SynchronizationJob, SynchronizationRun
from migrationsync.models.schemas import OBJECT, MatchesSchema
from operations.models import Job


class MigrationCheckpoint(Job):
    """One entity's part of a run. Where the next step starts is the kernel's `cursor`;
    `last_processed_id` says the same to a reader.

    `records_total` is what the source's engine believed, and grows with what is found.
    """

    class OperationType(models.TextChoices):
        DIFFERENTIAL_MIGRATION = "differential_migration", "Differential migration"
        SYNC_OPERATION = "sync_operation", "Sync operation"
        VALIDATION = "validation", "Validation"

    operation_field: ClassVar[str] = "sync_job"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    sync_job = models.ForeignKey(SynchronizationJob, on_delete=models.CASCADE, related_name="jobs")
    run = models.ForeignKey(
        SynchronizationRun, on_delete=models.CASCADE, related_name="checkpoints"
    )
    operation_type = models.CharField(max_length=32, choices=OperationType.choices)
    entity_type = models.CharField(max_length=64, db_collation="C")
    last_processed_id = models.CharField(max_length=64, blank=True, default="")
    records_processed = models.BigIntegerField(default=0)
    records_total = models.BigIntegerField(default=0)
    batch_size = models.PositiveIntegerField()
    completed_at = models.DateTimeField(null=True, blank=True)
    metadata = models.JSONField(default=dict, blank=True, validators=[MatchesSchema(OBJECT)])

    class Meta(Job.Meta):
        db_table = "migration_checkpoints"
        indexes = [
            # The kernel's two, whose names would be too long here.
            models.Index(
                fields=["due_at"], name="checkpoint_due_at", condition=Q(due_at__isnull=False)
            ),
            models.Index(
                fields=["lease_until"],
                name="checkpoint_lease_until",
                condition=Q(lease_until__isnull=False),
            ),
            models.Index(fields=["status", "entity_type"], name="idx_checkpoint_status_entity"),
            models.Index(
                fields=["operation_type", "created_at"], name="idx_checkpoint_operation_type"
            ),
        ]
        constraints = [
            one_of(
                "operation_type",
                "differential_migration",
                "sync_operation",
                "validation",
                name="migration_checkpoints_operation_type",
            ),
            one_of(
                "status",
                "pending",
                "in_progress",
                "paused",
                "failed",
                "completed",
                name="migration_checkpoints_status",
            ),
            json_of("metadata", "object", name="migration_checkpoints_metadata"),
            models.CheckConstraint(
                name="migration_checkpoints_processed_within_total",
                condition=Q(records_processed__gte=0)
                & Q(records_processed__lte=F("records_total")),
                violation_error_message="No more can be processed than there is.",
            ),
            models.CheckConstraint(
                name="migration_checkpoints_completed_after_start",
                condition=Q(completed_at=None)
                | Q(started_at__isnull=False, completed_at__gt=F("started_at")),
                violation_error_message="It must be completed after it was started.",
            ),
            models.CheckConstraint(
                name="migration_checkpoints_failed_says_why",
                condition=~Q(status="failed") | Q(error_message__regex=r"\S"),
                violation_error_message="A failed checkpoint needs an error message.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} of {self.run}"

    def take(self, edge: str, **changes: Any) -> None:
        if edge == "complete" and self.started_at:
            # The machine that ends it may have its clock behind the one that started it.
            after_start = self.started_at + dt.timedelta(microseconds=1)
            changes["completed_at"] = max(changes.get("ended_at") or after_start, after_start)
        super().take(edge, **changes)
