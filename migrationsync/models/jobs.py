"""A synchronization that a team keeps: what it brings over, when, by which rule; and its runs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q

from migrationsync.entities import UnknownEntity, entities
from migrationsync.identifiers import uuid7
from migrationsync.models.constraints import json_of, one_of, percent
from migrationsync.models.schemas import COUNTS, ENTITIES, LABELS, OBJECT, SCHEDULE, MatchesSchema
from operations.models import Operation
from operations.models.transitions import Edge

MAX_BATCH = 50_000
PERCENT = (MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(100)))


class SynchronizationJob(Operation):
    """The operation that is run again and again. What a run does is in `SynchronizationRun`.

    Idle it is scheduled (it recurs) or completed, failed or cancelled (its last run ended so).
    The kernel's PENDING is "scheduled", its IN_PROGRESS "running". Progress, error and waiting
    are those of `latest_run`.
    """

    class Status(models.TextChoices):
        PENDING = "scheduled", "Scheduled"
        IN_PROGRESS = "running", "Running"
        PAUSED = "paused", "Paused"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"
        COMPLETED = "completed", "Completed"

    class Type(models.TextChoices):
        SCHEDULED_SYNC = "scheduled_sync", "Scheduled sync"
        MANUAL_SYNC = "manual_sync", "Manual sync"
        DIFFERENTIAL_MIGRATION = "differential_migration", "Differential migration"

    class Direction(models.TextChoices):
        SOURCE_TO_TARGET = "source_to_target", "Source to target"
        BIDIRECTIONAL = "bidirectional", "Both ways"

    class Resolution(models.TextChoices):
        SOURCE_WINS = "source_wins", "The source wins"
        TARGET_WINS = "target_wins", "The target wins"
        MANUAL = "manual", "A person decides"

    EDGES: ClassVar[dict[str, Edge]] = {
        **Operation.EDGES,
        # A recurring job waits for its next run, and every job for the run that was asked for.
        "schedule": Edge(("COMPLETED", "IN_PROGRESS", "FAILED", "CANCELLED"), "PENDING"),
    }

    kind = "sync"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    job_name = models.CharField(max_length=120, unique=True)
    job_type = models.CharField(max_length=32, choices=Type.choices, default=Type.MANUAL_SYNC)
    source_alias = models.CharField(
        max_length=64, default="legacy", help_text="The legacy database: an alias of DATABASES."
    )
    schedule_config = models.JSONField(
        default=dict,
        blank=True,
        validators=[MatchesSchema(SCHEDULE)],
        help_text='{"cron": "30 2 * * *"} or {"interval_minutes": 15}; {}: only when asked to.',
    )
    entities_to_sync = models.JSONField(default=list, validators=[MatchesSchema(ENTITIES)])
    sync_direction = models.CharField(
        max_length=32, choices=Direction.choices, default=Direction.SOURCE_TO_TARGET
    )
    conflict_resolution = models.CharField(
        max_length=16, choices=Resolution.choices, default=Resolution.MANUAL
    )
    max_records_per_batch = models.PositiveIntegerField(
        default=10_000, validators=[MinValueValidator(1), MaxValueValidator(MAX_BATCH)]
    )
    max_failed_percent = models.DecimalField(
        max_digits=5,
        decimal_places=2,
        default=Decimal(5),
        validators=PERCENT,
        help_text="A load or sync fails once more than this share of an entity's rows is refused.",
    )
    max_deletes = models.PositiveIntegerField(
        default=100, help_text="A run stops and asks before it deletes more records than this…"
    )
    max_deleted_percent = models.DecimalField(
        max_digits=5,
        decimal_places=2,
        default=Decimal(1),
        validators=PERCENT,
        help_text="… or more than this share of an entity's.",
    )
    latest_run = models.ForeignKey(
        "SynchronizationRun", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    last_run_at = models.DateTimeField(null=True, blank=True, editable=False)
    next_run_at = models.DateTimeField(null=True, blank=True, editable=False)
    total_records_synced = models.BigIntegerField(default=0, editable=False)
    success_rate = models.DecimalField(
        max_digits=5,
        decimal_places=2,
        null=True,
        blank=True,
        editable=False,
        help_text="The share of the ended runs that were completed, in percent.",
    )
    average_duration_ms = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    metadata = models.JSONField(default=dict, blank=True, validators=[MatchesSchema(LABELS)])

    class Meta(Operation.Meta):
        db_table = "synchronization_jobs"
        verbose_name = "synchronization"
        indexes = [
            *Operation.Meta.indexes,
            models.Index(fields=["status", "next_run_at"], name="idx_sync_job_status"),
            models.Index(fields=["job_type", "schedule_config"], name="idx_sync_job_type_schedule"),
            GinIndex(
                fields=["metadata"], name="idx_sync_job_metadata", opclasses=["jsonb_path_ops"]
            ),
        ]
        constraints = [
            one_of(
                "status",
                "scheduled",
                "running",
                "paused",
                "failed",
                "cancelled",
                "completed",
                name="sync_job_status",
            ),
            one_of(
                "job_type",
                "scheduled_sync",
                "manual_sync",
                "differential_migration",
                name="sync_job_type",
            ),
            one_of(
                "sync_direction", "source_to_target", "bidirectional", name="sync_job_direction"
            ),
            one_of(
                "conflict_resolution",
                "source_wins",
                "target_wins",
                "manual",
                name="sync_job_resolution",
            ),
            json_of("schedule_config", "object", name="sync_job_schedule"),
            json_of("entities_to_sync", "array", name="sync_job_entities"),
            json_of("metadata", "object", name="sync_job_metadata"),
            percent("max_failed_percent", name="sync_job_max_failed_percent"),
            percent("max_deleted_percent", name="sync_job_max_deleted_percent"),
            models.CheckConstraint(
                name="sync_job_next_run_after_last",
                condition=Q(next_run_at=None)
                | Q(last_run_at=None)
                | Q(next_run_at__gt=F("last_run_at")),
                violation_error_message="The next run must be after the last one.",
            ),
            models.CheckConstraint(
                name="sync_job_success_rate_in_percent",
                condition=Q(success_rate=None) | Q(success_rate__range=(0, 100)),
                violation_error_message="A success rate is between 0 and 100.",
            ),
            models.CheckConstraint(
                name="sync_job_scheduled_has_schedule",
                condition=~Q(job_type="scheduled_sync") | ~Q(schedule_config={}),
                violation_error_message="A scheduled sync needs a schedule: a cron expression, "
                "or a number of minutes.",
            ),
            models.CheckConstraint(
                name="sync_job_has_entities",
                condition=~Q(entities_to_sync=[]),
                violation_error_message="Name at least one entity.",
            ),
            models.CheckConstraint(
                name="sync_job_batch_in_range",
                condition=Q(max_records_per_batch__range=(1, MAX_BATCH)),
            ),
        ]

    def __str__(self) -> str:
        return self.job_name

    @property
    def recurs(self) -> bool:
        return bool(self.schedule_config)

    @property
    def description(self) -> str:
        return self.job_name

    def clean(self) -> None:
        from migrationsync.returning.refusing import refusals

        super().clean()
        errors: dict[str, list[str]] = {}
        if self.source_alias not in settings.DATABASES:
            errors["source_alias"] = [
                f"There is no database “{self.source_alias}”: set LEGACY_DATABASE_URL, or name one "
                f"of {', '.join(sorted(settings.DATABASES))}."
            ]
        for name in self.entities_to_sync if isinstance(self.entities_to_sync, list) else ():
            try:
                entity = entities.get(str(name))
            except UnknownEntity as error:
                errors.setdefault("entities_to_sync", []).append(str(error))
                continue
            if self.sync_direction == self.Direction.BIDIRECTIONAL:
                problems = [f"{name}: {problem}" for problem in refusals(entity)]
                errors.setdefault("sync_direction", []).extend(problems)
        if any(errors.values()):
            raise ValidationError({name: found for name, found in errors.items() if found})


class SynchronizationRun(models.Model):
    """One time that a job ran, or runs: what for, who asked, what came of it.

    A job has at most one that is open (`outcome` empty): the database sees to that. `sizes` are
    how many records each entity seemed to have when it began, `counts` records by what became of
    them. `question` is what it stopped to ask (deletes over the
    budget: {"deletes": 1200, "entities": {"offices": {"deletes": 1200, "records": 2000}}}), and
    `approved_deletes` the answer.
    """

    class Purpose(models.TextChoices):
        LOAD = "load", "Load"
        SYNC = "sync", "Sync"
        COMPARE = "compare", "Compare (dry run)"
        RESOLVE = "resolve", "Resolve"
        VALIDATE = "validate", "Validate"

    class Outcome(models.TextChoices):
        OPEN = "", "Open"
        COMPLETED = "completed", "Completed"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    job = models.ForeignKey(SynchronizationJob, on_delete=models.CASCADE, related_name="runs")
    number = models.PositiveIntegerField()
    purpose = models.CharField(max_length=16, choices=Purpose.choices)
    entities = models.JSONField(validators=[MatchesSchema(ENTITIES)])
    options = models.JSONField(default=dict, blank=True, validators=[MatchesSchema(OBJECT)])
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    is_scheduled = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(
        max_length=16, choices=Outcome.choices, default=Outcome.OPEN, blank=True
    )
    sizes = models.JSONField(default=dict, blank=True, validators=[MatchesSchema(COUNTS)])
    counts = models.JSONField(default=dict, blank=True, validators=[MatchesSchema(COUNTS)])
    question = models.JSONField(null=True, blank=True)
    approved_deletes = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        db_table = "synchronization_runs"
        ordering = ["-number"]
        constraints = [
            one_of(
                "purpose",
                "load",
                "sync",
                "compare",
                "resolve",
                "validate",
                name="synchronization_runs_purpose",
            ),
            one_of(
                "outcome",
                "",
                "completed",
                "failed",
                "cancelled",
                name="synchronization_runs_outcome",
            ),
            models.UniqueConstraint(fields=["job", "number"], name="synchronization_runs_once"),
            models.UniqueConstraint(
                fields=["job"], condition=Q(outcome=""), name="synchronization_runs_one_open"
            ),
        ]

    def __str__(self) -> str:
        return f"Run {self.number} of {self.job}"

    @property
    def is_open(self) -> bool:
        return self.outcome == self.Outcome.OPEN

    @property
    def open_question(self) -> dict[str, Any] | None:
        """What it stopped to ask and nobody has answered."""
        return self.question if self.is_open and self.approved_deletes is None else None
