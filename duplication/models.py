"""What a duplication is, the jobs it runs as, which row became which, and what was found.

A copy has a life after it is complete: it can be removed again (`Removal`) and brought up
to date (`CatchUp`). Both are operations of their own, with jobs of their own.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import MD5, Now
from django.urls import reverse

from content.links import Link
from content.models import Episode
from operations.models import Job, Operation
from operations.models.transitions import Edge


class Duplication(Operation):
    """One copy of one episode's tree.

    `high_water` holds the largest source id per stage that belongs to the copy, decided
    when it started; `report` is what the verification found. Once `deletion_began_at` is
    set the copy is no longer whole, and no way leads back.
    """

    kind: ClassVar[str] = "duplication"

    class MediaStrategy(models.TextChoices):
        SHARE = "share", "Share the original's files"
        COPY = "copy", "Copy the files"

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
    media_strategy = models.CharField(
        max_length=8, choices=MediaStrategy.choices, default=MediaStrategy.SHARE
    )
    media_required = models.BooleanField(
        default=False, help_text="Fail when a file to be copied is missing."
    )
    deletion_began_at = models.DateTimeField(null=True, blank=True, editable=False)
    removed_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(Operation.Meta):
        db_table = "duplications"
        indexes = [
            *Operation.Meta.indexes,
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

    @property
    def description(self) -> str:
        return f"The copy “{self.title}”"

    def get_absolute_url(self) -> str:
        return reverse("my-duplication", args=[self.pk])

    @property
    def display_status(self) -> str:
        """Besides what every operation has: removing, partly removed, removed."""
        if self.removed_at:
            return "removed"
        if not self.is_active and self._is_copy_withdrawn():
            active = [Removal.Status[name] for name in Removal.ACTIVE]
            if self.removals.filter(status__in=active).exists():
                return "removing"
            if self.deletion_began_at:
                return "partly_removed"
        return super().display_status

    @property
    def is_unsettled(self) -> bool:
        return self.display_status == "removing"

    def _is_copy_withdrawn(self) -> bool:
        if self.deletion_began_at:
            return True
        return bool(self.new_episode and self.new_episode.status == Episode.Status.REMOVING)

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


class OwnEdit(models.Model):
    """A row of a copy as our own hand left it, mending a link or catching up with the original.

    Whoever saved the row later, it has another hash: that edit is somebody's.
    """

    pk = models.CompositePrimaryKey("duplication_id", "type", "new_id")
    duplication = models.ForeignKey(
        Duplication, on_delete=models.CASCADE, related_name="own_edits", db_index=False
    )
    type = models.CharField(max_length=16, db_collation="C")
    new_id = models.BigIntegerField()
    row_hash = models.BigIntegerField()

    class Meta:
        db_table = "duplication_own_edits"

    def __str__(self) -> str:
        return f"{self.type} {self.new_id}"


class LinkFinding(models.Model):
    """A link in the copy that was left as it is: it points out of the tree, or to nothing.

    Into the original points one to a row that was added there since, or one that has no room
    for the copy's id. `mended_to` is what it was pointed to last, as it is written.
    """

    class Target(models.TextChoices):
        EXTERNAL = "external", "Another episode"
        UNRESOLVED = "unresolved", "Nothing"
        ORIGINAL = "original", "The original"

    duplication = models.ForeignKey(
        Duplication, on_delete=models.CASCADE, related_name="link_findings", db_index=False
    )
    points_to = models.CharField(max_length=16, choices=Target.choices)
    type = models.CharField(max_length=16, help_text="The level of the row that holds the link.")
    new_id = models.BigIntegerField()
    field = models.CharField(max_length=32)
    target_type = models.CharField(max_length=16)
    target_key = models.TextField(help_text="As it is written: an id, or what can't be one.")
    target_episode_id = models.BigIntegerField(null=True, blank=True)
    mended_at = models.DateTimeField(null=True, blank=True)
    mended_to = models.CharField(max_length=64, blank=True, db_default="")

    class Meta:
        db_table = "duplication_links"
        indexes = [
            models.Index(fields=["duplication", "points_to", "id"], name="duplication_links_list"),
        ]
        constraints = [
            # A key may be longer than an index has room for.
            models.UniqueConstraint(
                "duplication",
                "type",
                "new_id",
                "field",
                "target_type",
                MD5("target_key"),
                name="duplication_links_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.new_id}, {self.field}: {self.link}"

    @property
    def link(self) -> Link:
        return Link(self.target_type, self.target_key)


class DriftFinding(models.Model):
    """A row of the original that is no longer what was copied.

    `copy_hash` is the copy's row when this was found: a row of the copy that has another
    hash was edited since and is not overwritten.
    """

    class Change(models.TextChoices):
        EDITED = "edited", "Edited"
        DELETED = "deleted", "Deleted"
        ADDED = "added", "Added"
        # No drift but a fault: it was there when the copy began.
        OMITTED = "omitted", "Left out"

    class State(models.TextChoices):
        OPEN = "open", "Not in the copy"
        APPLIED = "applied", "Applied to the copy"
        KEPT = "kept", "Kept: edited in the copy as well"
        GONE = "gone", "No longer there"

    duplication = models.ForeignKey(
        Duplication, on_delete=models.CASCADE, related_name="drift_findings", db_index=False
    )
    type = models.CharField(max_length=16, db_collation="C")
    org_id = models.BigIntegerField()
    new_id = models.BigIntegerField(null=True, blank=True)
    change = models.CharField(max_length=8, choices=Change.choices)
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    copy_hash = models.BigIntegerField(null=True, blank=True)
    found_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "duplication_drift"
        indexes = [
            models.Index(fields=["duplication", "change", "id"], name="duplication_drift_list"),
        ]
        constraints = [
            models.UniqueConstraint(
                name="duplication_drift_once", fields=["duplication", "type", "org_id"]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.org_id} {self.change}"


class MediaFile(models.Model):
    """A file of the original that the copy gets an object of its own for."""

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        COPIED = "copied", "Copied"
        MISSING = "missing", "Missing"
        REMOVED = "removed", "Removed"

    duplication = models.ForeignKey(
        Duplication, on_delete=models.CASCADE, related_name="media_files", db_index=False
    )
    source = models.CharField(max_length=255, help_text="The original's name in storage.")
    target = models.CharField(max_length=255, help_text="The copy's name in storage.")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.PENDING)
    size = models.BigIntegerField(null=True, blank=True, help_text="Bytes.")
    checksum = models.CharField(max_length=160, blank=True, default="")

    class Meta:
        db_table = "duplication_media"
        indexes = [
            models.Index(fields=["duplication", "target"], name="duplication_media_target"),
            models.Index(fields=["duplication", "status", "id"], name="duplication_media_list"),
        ]
        constraints = [
            models.UniqueConstraint(
                name="duplication_media_once", fields=["duplication", "source"]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"


# One that failed can be retried, so it is unfinished as well.
UNFINISHED = Q(status__in=["pending", "in_progress", "paused", "failed"])


class Removal(Operation):
    """Takes a copy away again: undoes a completed one, cleans up after one that wasn't.

    `even_if_changed`: what was edited in the copy since goes with it. `previous_status` is
    what the copy's episode gets back if the removal is refused or cancelled in time.
    """

    EDGES: ClassVar[dict[str, Edge]] = {
        **Operation.EDGES,
        # It was refused, and whoever asked for it agrees.
        "keep": Edge(("FAILED",), "CANCELLED"),
    }

    kind: ClassVar[str] = "removal"

    duplication = models.ForeignKey(Duplication, on_delete=models.CASCADE, related_name="removals")
    even_if_changed = models.BooleanField(default=False)
    previous_status = models.CharField(max_length=16, blank=True, default="")

    class Meta(Operation.Meta):
        db_table = "duplication_removals"
        constraints = [
            models.UniqueConstraint(
                name="duplication_removals_one_at_a_time",
                fields=["duplication"],
                condition=UNFINISHED,
            ),
        ]

    def __str__(self) -> str:
        return f"Removal {self.pk} of the copy of duplication {self.duplication_id}"

    @property
    def description(self) -> str:
        return f"Taking away “{self.duplication.title}”"

    def get_absolute_url(self) -> str:
        return self.duplication.get_absolute_url()

    @classmethod
    def viewable_by(cls, user: Any) -> models.QuerySet[Any]:
        """Also those of copies that `user` asked for, whoever takes them away."""
        viewable = super().viewable_by(user)
        if user.is_authenticated:
            viewable = viewable | cls.objects.filter(duplication__requested_by=user)
        return viewable.select_related("duplication", "requested_by")

    def may_be_controlled_by(self, user: Any) -> bool:
        return super().may_be_controlled_by(user) or self.duplication.may_be_controlled_by(user)


class RemovalJob(Job):
    """The check, a level, or the files."""

    operation_field: ClassVar[str] = "removal"

    removal = models.ForeignKey(Removal, on_delete=models.CASCADE, related_name="jobs")

    class Meta(Job.Meta):
        db_table = "duplication_removal_jobs"


class CatchUp(Operation):
    """Brings what was edited in the original while it was copied into the copy."""

    kind: ClassVar[str] = "catch_up"

    duplication = models.ForeignKey(Duplication, on_delete=models.CASCADE, related_name="catch_ups")

    class Meta(Operation.Meta):
        db_table = "duplication_catch_ups"
        constraints = [
            models.UniqueConstraint(
                name="duplication_catch_ups_one_at_a_time",
                fields=["duplication"],
                condition=UNFINISHED,
            ),
        ]

    def __str__(self) -> str:
        return f"Catch-up {self.pk} of the copy of duplication {self.duplication_id}"

    @property
    def description(self) -> str:
        return f"Bringing “{self.duplication.title}” up to date"

    def get_absolute_url(self) -> str:
        return self.duplication.get_absolute_url()


class CatchUpJob(Job):
    operation_field: ClassVar[str] = "catch_up"

    catch_up = models.ForeignKey(CatchUp, on_delete=models.CASCADE, related_name="jobs")

    class Meta(Job.Meta):
        db_table = "duplication_catch_up_jobs"
