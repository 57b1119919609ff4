"""What a comparison found, by kind, and the decision about each record."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.lookups import Exact

from migrationsync.differences import COMPARISON_TYPES, ComparisonType, Kind
from migrationsync.identifiers import uuid7
from migrationsync.models.checkpoints import MigrationCheckpoint
from migrationsync.models.constraints import json_of, one_of
from migrationsync.models.jobs import SynchronizationRun
from migrationsync.models.schemas import CRITERIA, LEGACY_IDS, OBJECT, MatchesSchema
from migrationsync.querysets import UNDECIDED, DifferentialQuerySet, RecordQuerySet


class _Length(Func):
    function = "jsonb_array_length"
    output_field = models.IntegerField()


class Strategy(models.TextChoices):
    SOURCE_WINS = "source_wins", "The source wins"
    TARGET_WINS = "target_wins", "The target wins"
    MANUAL_REVIEW = "manual_review", "A person decides"
    SKIP = "skip", "Leave as it is"


class DataDifferential(models.Model):
    """Records of one entity that differ in the same way: at most 10,000, see `findings`.

    Resolved once all of its records are decided. Superseded (and no longer to be decided) once a
    later comparison of the entity by the same job has ended: what still differs is found by that
    one.
    """

    class DifferenceKind(models.TextChoices):
        MISSING = Kind.MISSING, "Missing in the target"
        QUARANTINED = Kind.QUARANTINED, "In quarantine"
        SOURCE_CHANGED = Kind.SOURCE_CHANGED, "Changed in the source"
        TARGET_CHANGED = Kind.TARGET_CHANGED, "Changed in the target"
        BOTH_CHANGED = Kind.BOTH_CHANGED, "Changed in both"
        DELETED_IN_SOURCE = Kind.DELETED_IN_SOURCE, "Deleted in the source"
        DELETED_IN_TARGET = Kind.DELETED_IN_TARGET, "Deleted in the target"
        DELETED_IN_BOTH = Kind.DELETED_IN_BOTH, "Deleted in both"
        EXTRA = Kind.EXTRA, "In the target only"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    checkpoint = models.ForeignKey(
        MigrationCheckpoint, on_delete=models.CASCADE, related_name="differentials"
    )
    entity_type = models.CharField(max_length=64, db_collation="C")
    source_table = models.CharField(max_length=128)
    target_table = models.CharField(max_length=128)
    comparison_type = models.CharField(
        max_length=32, choices=[(each.value, each.value) for each in ComparisonType]
    )
    kind = models.CharField(max_length=32, choices=DifferenceKind.choices)
    legacy_ids = models.JSONField(validators=[MatchesSchema(LEGACY_IDS)])
    record_count = models.PositiveIntegerField()
    comparison_criteria = models.JSONField(validators=[MatchesSchema(CRITERIA)])
    resolution_strategy = models.CharField(
        max_length=16, choices=Strategy.choices, default=Strategy.MANUAL_REVIEW
    )
    resolved = models.BooleanField(default=False)
    resolved_at = models.DateTimeField(null=True, blank=True)
    superseded_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    metadata = models.JSONField(default=dict, blank=True, validators=[MatchesSchema(OBJECT)])

    objects = DifferentialQuerySet.as_manager()

    class Meta:
        db_table = "data_differentials"
        ordering = ["id"]
        indexes = [
            models.Index(
                fields=["source_table", "comparison_type"], name="idx_differential_table_type"
            ),
            models.Index(fields=["resolved", "created_at"], name="idx_differential_resolved"),
            GinIndex(
                fields=["comparison_criteria"],
                name="idx_differential_criteria",
                opclasses=["jsonb_path_ops"],
            ),
            models.Index(
                fields=["entity_type", "kind"],
                name="idx_differential_open",
                condition=Q(resolved=False, superseded_at=None),
            ),
        ]
        constraints = [
            one_of(
                "comparison_type",
                "missing_records",
                "conflicted_records",
                "deleted_records",
                name="data_differentials_comparison_type",
            ),
            one_of("kind", *Kind, name="data_differentials_kind"),
            one_of("resolution_strategy", *Strategy.values, name="data_differentials_strategy"),
            json_of("comparison_criteria", "object", name="data_differentials_criteria"),
            json_of("metadata", "object", name="data_differentials_metadata"),
            models.CheckConstraint(
                name="data_differentials_count_is_of_ids",
                condition=Exact(F("record_count"), _Length(F("legacy_ids"))),
                violation_error_message="The record count must be the number of legacy ids.",
            ),
            models.CheckConstraint(
                name="data_differentials_resolved_has_time",
                condition=Q(resolved=False) | Q(resolved_at__isnull=False),
                violation_error_message="A resolved differential needs the time it was resolved.",
            ),
            models.CheckConstraint(
                name="data_differentials_winner_has_a_row",
                condition=~Q(kind__in=("missing", "quarantined"))
                | ~Q(resolution_strategy="target_wins"),
                violation_error_message="A row that the target never had can't win there.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.record_count:,} {self.entity_type}: {self.get_kind_display().lower()}"

    @property
    def is_open(self) -> bool:
        """As `DifferentialQuerySet.open`."""
        return not self.resolved and self.superseded_at is None

    def clean(self) -> None:
        super().clean()
        if (
            self.kind in self.DifferenceKind.values
            and self.comparison_type != COMPARISON_TYPES[Kind(self.kind)]
        ):
            raise ValidationError(
                {
                    "comparison_type": f"Records “{self.get_kind_display()}” are "
                    f"{COMPARISON_TYPES[Kind(self.kind)]}."
                }
            )


class DifferentialRecord(models.Model):
    """One record of a differential, and what was decided about it.

    `legacy_id` is null for a row that is from no legacy one, `uuid` for one that was never
    migrated. `strategy` and `resolving_run` are set when it was decided and by which run that is
    carried out; `state` and `outcome` (in words) when it has been.
    """

    class State(models.TextChoices):
        OPEN = "open", "Open"
        RESOLVED = "resolved", "Resolved"
        SKIPPED = "skipped", "Left as it is"
        FAILED = "failed", "Couldn't be resolved"

    differential = models.ForeignKey(
        DataDifferential, on_delete=models.CASCADE, related_name="records"
    )
    legacy_id = models.BigIntegerField(null=True)
    uuid = models.UUIDField(null=True)
    is_contested = models.BooleanField(default=False)
    state = models.CharField(max_length=16, choices=State.choices, default=State.OPEN)
    strategy = models.CharField(max_length=16, choices=Strategy.choices, blank=True, default="")
    outcome = models.TextField(blank=True, default="")
    resolving_run = models.ForeignKey(
        SynchronizationRun, null=True, on_delete=models.SET_NULL, related_name="records"
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)

    objects = RecordQuerySet.as_manager()

    class Meta:
        db_table = "data_differential_records"
        ordering = ["id"]
        indexes = [
            models.Index(
                fields=["differential", "id"],
                name="differential_records_undecided",
                condition=Q(state__in=["open", "failed"]),
            ),
            models.Index(
                fields=["resolving_run", "id"],
                name="differential_records_to_do",
                condition=Q(state="open", resolving_run__isnull=False),
            ),
        ]
        constraints = [
            one_of(
                "state", "open", "resolved", "skipped", "failed", name="differential_records_state"
            ),
            one_of("strategy", "", *Strategy.values, name="differential_records_strategy"),
            models.CheckConstraint(
                name="differential_records_has_a_key",
                condition=Q(legacy_id__isnull=False) | Q(uuid__isnull=False),
            ),
            models.CheckConstraint(
                name="differential_records_decided_has_time",
                condition=Q(state="open") | Q(decided_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key}: {self.get_state_display()}"

    @property
    def key(self) -> int | UUID:
        """The legacy id; of a row that has none, its UUID."""
        return self.legacy_id if self.legacy_id is not None else cast("UUID", self.uuid)

    @property
    def is_undecided(self) -> bool:
        return self.state in UNDECIDED
