"""Which legacy row became which, and the rows that couldn't.

Owns the rows only: who writes them is `migrationsync.loading`.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from migrationsync.identifiers import uuid7
from migrationsync.models.constraints import json_of, one_of
from migrationsync.models.schemas import OBJECT, MatchesSchema


class LegacyIdMapping(models.Model):
    """A row of the legacy database and the UUID that it has in the modern one.

    `checksum` is the source's row and `target_checksum` the target's, each as it was when the
    two were last made alike: MD5 by the side's own engine (`migrationsync.checksums`). So
    "the source changed" and "the target changed" can be told apart. GONE in place of one says
    that a person accepted that this side has no such row.

    `last_synced` is the row as it was then: the values of the declaration's columns in its
    order, as a line of COPY's text format; foreign keys are legacy keys. '': nobody kept it.
    """

    GONE = "gone"

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
    last_synced = models.TextField(blank=True, default="", db_default="", editable=False)
    metadata = models.JSONField(default=dict, blank=True, validators=[MatchesSchema(OBJECT)])

    class Meta:
        db_table = "legacy_id_mappings"
        constraints = [
            one_of(
                "validation_status",
                "pending",
                "validated",
                "error",
                name="legacy_id_mappings_status",
            ),
            json_of("metadata", "object", name="legacy_id_mappings_metadata"),
            models.UniqueConstraint(
                name="legacy_id_mappings_legacy_once", fields=["entity_type", "legacy_id"]
            ),
            # Not by the entity first: where the planner has seen nothing of one yet, it would take
            # either index for the look-up by legacy id, and read all of the entity by this one.
            models.UniqueConstraint(
                name="legacy_id_mappings_uuid_once", fields=["uuid_id", "entity_type"]
            ),
            models.CheckConstraint(
                name="legacy_id_mappings_has_checksums",
                condition=~Q(checksum="") & ~Q(target_checksum=""),
            ),
            models.CheckConstraint(
                name="legacy_id_mappings_not_of_the_future",
                condition=Q(migration_timestamp__lte=Now()),
                violation_error_message="A mapping can't be from the future.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} {self.legacy_id} = {self.uuid_id}"


class QuarantinedRow(models.Model):
    """A legacy row that couldn't become one of the target: why, and what it was.

    `reasons` is a list of {"column", "value", "problem"}; `data` the row by the source's columns,
    long values shortened. It stays until a retry, from the source it is of, brings it over
    (`resolved_at`).
    """

    source_alias = models.CharField("legacy database", max_length=64, default="legacy")
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
