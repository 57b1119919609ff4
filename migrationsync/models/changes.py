"""What was changed to make the two sides alike, with what it takes to undo it."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.conf import settings
from django.db import models

from migrationsync.identifiers import uuid7
from migrationsync.models.constraints import one_of
from migrationsync.models.differentials import DifferentialRecord
from migrationsync.models.jobs import SynchronizationJob, SynchronizationRun
from migrationsync.querysets import ChangeQuerySet


class SourceWrite(models.Model):
    """A row of the source that was written, or was about to be: kept from before the source commits
    until the step that wrote it is committed, which makes an AppliedChange of it.

    The fields are as there. `checksum` is the row's as written, LegacyIdMapping.GONE without one.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    entity_type = models.CharField(max_length=64, db_collation="C")
    legacy_id = models.BigIntegerField()
    uuid = models.UUIDField(null=True)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    checksum = models.CharField(max_length=32, db_collation="C")
    mapping_before = models.JSONField(null=True)
    written_at = models.DateTimeField()

    class Meta:
        db_table = "migration_source_writes"
        constraints = [
            models.UniqueConstraint(
                fields=["entity_type", "legacy_id"], name="migration_source_writes_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.entity_type} {self.legacy_id}"


class AppliedChange(models.Model):
    """One record that was changed, on one side. Written in the change's own transaction.

    `before` and `after` are the side's row by the target's fields (the source's: by its columns)
    as JSON; null: there was, or is, none. `mapping_before` is the id mapping's row likewise.
    """

    class Side(models.TextChoices):
        SOURCE = "source", "Source"
        TARGET = "target", "Target"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    run = models.ForeignKey(
        SynchronizationRun,
        null=True,
        on_delete=models.SET_NULL,
        related_name="changes",
        db_index=False,  # `applied_changes_of_run` begins with it
    )
    record = models.ForeignKey(
        DifferentialRecord, null=True, on_delete=models.SET_NULL, related_name="changes"
    )
    entity_type = models.CharField(max_length=64, db_collation="C")
    legacy_id = models.BigIntegerField(null=True)
    uuid = models.UUIDField(null=True)
    action = models.CharField(max_length=32)
    side = models.CharField(max_length=8, choices=Side.choices)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    mapping_before = models.JSONField(null=True)
    applied_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    applied_at = models.DateTimeField(auto_now_add=True)
    undone_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    undone_at = models.DateTimeField(null=True)

    objects = ChangeQuerySet.as_manager()

    class Meta:
        db_table = "migration_applied_changes"
        ordering = ["-id"]
        constraints = [one_of("side", "source", "target", name="applied_changes_side")]
        indexes = [
            models.Index(fields=["entity_type", "legacy_id"], name="applied_changes_of_record"),
            models.Index(fields=["entity_type", "uuid"], name="applied_changes_of_uuid"),
            models.Index(fields=["run", "entity_type"], name="applied_changes_of_run"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.entity_type} {self.key}"

    @property
    def key(self) -> int | UUID:
        """The legacy id; of a row that has none, its UUID."""
        return self.legacy_id if self.legacy_id is not None else cast("UUID", self.uuid)

    @property
    def job(self) -> SynchronizationJob | None:
        """Whose it is: its run's, or that of the record that was decided. None: that is gone."""
        if self.run:
            return self.run.job
        return self.record.differential.checkpoint.sync_job if self.record else None
