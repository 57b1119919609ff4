"""Which legacy row became which, and the rows that couldn't.

Names are the original data model's. Owns the rows only: who writes them is
`migrationsync.loading`.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from migrationsync.identifiers import uuid7


class LegacyIdMapping(models.Model):
    """A row of the legacy database and the UUID that it has in the modern one.

    `checksum` is the source's row and `target_checksum` the target's, each as it was when the
    two were last made alike: MD5 by the side's own engine (`migrationsync.checksums`). So
    "the source changed" and "the target changed" can be told apart.
    """

    class ValidationStatus(models.TextChoices):
        PENDING = "pending", "Pending"
        VALIDATED = "validated", "Validated"
        ERROR = "error", "Error"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    entity_type = models.CharField(max_length=64, db_collation="C")
    legacy_id = models.BigIntegerField()
    uuid_id = models.UUIDField()
    migration_batch = models.CharField(max_length=64)
    migration_timestamp = models.DateTimeField(db_default=Now())
    validation_status = models.CharField(
        max_length=16, choices=ValidationStatus.choices, default=ValidationStatus.PENDING
    )
    source_table = models.CharField(max_length=128)
    target_table = models.CharField(max_length=128)
    checksum = models.CharField(max_length=32, db_collation="C")
    target_checksum = models.CharField(max_length=32, db_collation="C")
    metadata = models.JSONField(default=dict, blank=True)

    class Meta:
        db_table = "legacy_id_mappings"
        constraints = [
            models.UniqueConstraint(
                name="legacy_id_mappings_legacy_once", fields=["entity_type", "legacy_id"]
            ),
            models.UniqueConstraint(
                name="legacy_id_mappings_uuid_once", fields=["entity_type", "uuid_id"]
            ),
            models.CheckConstraint(
                name="legacy_id_mappings_has_checksums",
                condition=~Q(checksum="") & ~Q(target_checksum=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} {self.legacy_id} = {self.uuid_id}"


class QuarantinedRow(models.Model):
    """A legacy row that couldn't become one of the target: why, and what it was.

    `reasons` is a list of {"column", "value", "problem"}; `data` the row by the source's columns,
    long values shortened. It stays until a retry brings it over (`resolved_at`).
    """

    entity_type = models.CharField(max_length=64, db_collation="C")
    legacy_id = models.BigIntegerField()
    reasons = models.JSONField()
    data = models.JSONField()
    migration_batch = models.CharField(max_length=64)
    attempts = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "migration_quarantine"
        constraints = [
            models.UniqueConstraint(
                name="migration_quarantine_once", fields=["entity_type", "legacy_id"]
            )
        ]
        indexes = [
            models.Index(
                fields=["entity_type", "legacy_id"],
                name="migration_quarantine_open",
                condition=Q(resolved_at=None),
            )
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} {self.legacy_id}"
