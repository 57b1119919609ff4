"""The content tree: Episode > Part > Item > Block.

Owns what the content is and the order it is shown in. Knows nothing of the
operations that copy, voice or migrate it.
"""

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models

from content.querysets import EpisodeQuerySet


class Node(models.Model):
    """What every level of the tree carries.

    `orig_id` is the row this one was copied from. It is a plain number, not a foreign
    key: the original may be deleted while its copies live on.
    """

    orig_id = models.BigIntegerField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class Episode(Node):
    class Type(models.TextChoices):
        SOLO = "solo", "Solo"
        DIALOGUE = "dialogue", "Dialogue"

    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        PUBLISHED = "published", "Published"
        ARCHIVED = "archived", "Archived"
        COPYING = "copying", "Copying"
        REMOVING = "removing", "Removing"

    # A copy in the making, and one that is being taken away: not there for anybody.
    HIDDEN = (Status.COPYING, Status.REMOVING)

    class GenerationStatus(models.TextChoices):
        PENDING = "PENDING", "Pending"
        GENERATING_OUTLINE = "GENERATING_OUTLINE", "Generating outline"
        GENERATING_SCRIPT = "GENERATING_SCRIPT", "Generating script"
        GENERATING_AUDIO = "GENERATING_AUDIO", "Generating audio"
        UPLOADING = "UPLOADING", "Uploading"
        COMPLETED = "COMPLETED", "Completed"
        FAILED = "FAILED", "Failed"

    title = models.CharField(max_length=255)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="episodes",
    )
    type = models.CharField(max_length=16, choices=Type.choices, default=Type.SOLO)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.DRAFT)
    audio_url = models.CharField(
        max_length=1000, blank=True, default="", help_text="A URL, or a path on this site."
    )

    generation_status = models.CharField(
        max_length=24, choices=GenerationStatus.choices, default=GenerationStatus.PENDING
    )
    generation_job_id = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001
    generation_error = models.TextField(null=True, blank=True)  # noqa: DJ001
    generation_progress = models.PositiveSmallIntegerField(
        default=0, validators=[MaxValueValidator(100)]
    )
    generation_started_at = models.DateTimeField(null=True, blank=True)
    generation_completed_at = models.DateTimeField(null=True, blank=True)

    objects = EpisodeQuerySet.as_manager()

    class Meta:
        db_table = "episodes"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["generation_job_id"], name="episodes_generation_job_id"),
            models.Index(
                fields=["generation_status", "created_at"], name="episodes_generation_status"
            ),
            models.Index(fields=["orig_id"], name="episodes_orig_id"),
        ]
        constraints = [
            models.CheckConstraint(
                name="episodes_generation_progress_is_a_percentage",
                condition=models.Q(generation_progress__lte=100),
            ),
        ]

    def __str__(self) -> str:
        return self.title


# A child is found two ways: in the order it is shown in (position, within one parent),
# and in the order a chunked walk visits it (id, within one parent). The second is the
# index; it serves the foreign key as well, so Django's own index on it is left out.


class Part(Node):
    episode = models.ForeignKey(
        Episode, on_delete=models.CASCADE, related_name="parts", db_index=False
    )
    position = models.PositiveIntegerField(default=0)
    name = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001

    class Meta:
        db_table = "parts"
        ordering = ["position", "id"]
        indexes = [models.Index(fields=["episode", "id"], name="parts_episode_id")]

    def __str__(self) -> str:
        return self.name or f"Part {self.pk}"


class Item(Node):
    part = models.ForeignKey(Part, on_delete=models.CASCADE, related_name="items", db_index=False)
    position = models.PositiveIntegerField(default=0)
    name = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001

    class Meta:
        db_table = "items"
        ordering = ["position", "id"]
        indexes = [models.Index(fields=["part", "id"], name="items_part_id")]

    def __str__(self) -> str:
        return self.name or f"Item {self.pk}"


class Block(Node):
    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="blocks", db_index=False)
    position = models.PositiveIntegerField(default=0)
    name = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001
    field_1 = models.TextField(null=True, blank=True)  # noqa: DJ001 - null and "" both round-trip
    field_2 = models.TextField(null=True, blank=True)  # noqa: DJ001
    field_3 = models.TextField(null=True, blank=True)  # noqa: DJ001
    media = models.CharField(  # noqa: DJ001
        max_length=255, null=True, blank=True, help_text="A file's name in storage."
    )

    class Meta:
        db_table = "blocks"
        ordering = ["position", "id"]
        indexes = [
            models.Index(fields=["item", "id"], name="blocks_item_id"),
            # Who else uses a file: asked before one is deleted.
            models.Index(
                fields=["media"], name="blocks_media", condition=models.Q(media__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.name or f"Block {self.pk}"
