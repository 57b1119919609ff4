"""What a duplication is, the jobs it runs as, and which row became which."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from content.models import Episode
from operations.models import Job, Operation


class Duplication(Operation):
    """One copy of one episode's tree.

    `high_water` holds the largest source id per stage that belongs to the copy, decided
    when it started; `report` is what the verification found.
    """

    kind: ClassVar[str] = "duplication"

    # The original may be deleted once the copy lives; the record of the work stays.
    episode = models.ForeignKey(
        Episode, null=True, on_delete=models.SET_NULL, related_name="duplications"
    )
    new_episode = models.ForeignKey(
        Episode, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    org_episode_id = models.BigIntegerField(editable=False)
    title = models.CharField(max_length=255, help_text="The copy's title.")
    lanes = models.PositiveSmallIntegerField(default=1)
    high_water = models.JSONField(default=dict, blank=True)
    report = models.JSONField(default=dict, blank=True)

    class Meta(Operation.Meta):
        db_table = "duplications"
        indexes = [
            models.Index(fields=["status", "-id"], name="duplications_status"),
        ]
        constraints = [
            models.CheckConstraint(
                name="duplications_completed_has_a_copy_and_an_end",
                condition=~Q(status="completed") | Q(ended_at__isnull=False),
            ),
            models.CheckConstraint(
                name="duplications_failed_has_an_error",
                condition=~Q(status="failed") | ~Q(error_code=""),
            ),
        ]

    def __str__(self) -> str:
        return f"Duplication {self.pk} of episode {self.org_episode_id}"

    @classmethod
    def viewable_by(cls, user: Any) -> models.QuerySet[Any]:
        return super().viewable_by(user).select_related("episode", "new_episode", "requested_by")


class DuplicationJob(Job):
    """A level of the tree, or one lane of it, or the verification."""

    operation_field: ClassVar[str] = "duplication"

    duplication = models.ForeignKey(Duplication, on_delete=models.CASCADE, related_name="jobs")

    class Meta(Job.Meta):
        db_table = "duplication_jobs"


class IdMap(models.Model):
    """Which row of the original became which row of the copy.

    Written a chunk at a time in the chunk's own transaction; the most written table of
    a copy. Its primary key serves the look-up by original and keeps a row from being
    copied twice; the foreign key is not checked row by row in the database, because the
    only writer is the job whose own row it points to.
    """

    pk = models.CompositePrimaryKey("duplication_id", "type", "org_id")
    duplication = models.ForeignKey(
        Duplication,
        on_delete=models.CASCADE,
        related_name="id_map",
        db_index=False,
        db_constraint=False,
    )
    # Compared for each of millions of rows: by bytes, not by a language's rules.
    type = models.CharField(max_length=16, db_collation="C")
    org_id = models.BigIntegerField()
    new_id = models.BigIntegerField()
    has_link = models.BooleanField(default=False)

    class Meta:
        db_table = "id_map"
        indexes = [
            models.Index(fields=["duplication", "type", "new_id"], name="id_map_new_id"),
            models.Index(
                fields=["duplication", "type", "new_id"],
                name="id_map_has_link",
                condition=Q(has_link=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.org_id} -> {self.new_id}"
