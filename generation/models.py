"""What a generation is, the stages it runs as, what it said, what it cost, and kept sounds.

Owns the rows only: what a stage does is `generation.stages`, what may be done to a
generation `generation.services`, which sound is whose `generation.cache`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse

from content.models import Episode
from operations.models import Job, Operation

MP3 = "audio/mpeg"


class StageName(models.TextChoices):
    """In their order."""

    OUTLINE = "outline", "Outline"
    SCRIPT = "script", "Script"
    AUDIO = "audio", "Audio"
    UPLOAD = "upload", "Upload"


class GenerationJob(Operation):
    """One making of one episode's audio.

    `from_stage` says what is made anew: that stage and those behind it, from what `base` has.
    Empty: whatever fits the content as it is now is used again; `base` then is whose outline
    and script those are, if there were any. `usage` has a `providers.contract.Usage` for each
    stage, `cost` their sum in US dollars; `estimate` is what was expected at the start.
    `script` may be edited by people while nothing runs: `script_version` counts the edits. What
    was really said is in `segments`.
    """

    kind: ClassVar[str] = "generation"
    READ_LATE: ClassVar[tuple[str, ...]] = ("outline", "script")

    episode = models.ForeignKey(Episode, on_delete=models.CASCADE, related_name="generations")
    base = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    from_stage = models.CharField(
        max_length=16, choices=StageName.choices, blank=True, default="", db_default=""
    )
    stop_before_audio = models.BooleanField(
        default=False, help_text="Pause once the script is there, so that it can be edited."
    )
    voices = models.JSONField(
        default=dict, help_text='Who speaks with which voice: {"host": "en-us"}.'
    )
    speed = models.FloatField(default=1.0, help_text="1 is the voice's own.")
    text_provider = models.CharField(max_length=255)
    text_model = models.CharField(max_length=255)
    speech_provider = models.CharField(max_length=255)
    speech_model = models.CharField(max_length=255)

    source_hash = models.CharField(
        max_length=64, blank=True, default="", help_text="Of the words, and of who wrote of them."
    )
    outline = models.JSONField(null=True, blank=True)
    script = models.JSONField(null=True, blank=True)
    script_version = models.PositiveIntegerField(default=0)
    script_edited_at = models.DateTimeField(null=True, blank=True)

    estimate = models.JSONField(default=dict, blank=True)
    estimated_cost = models.DecimalField(max_digits=12, decimal_places=6, default=Decimal(0))
    usage = models.JSONField(default=dict, blank=True)
    cost = models.DecimalField(max_digits=12, decimal_places=6, default=Decimal(0))
    chars_paid = models.PositiveBigIntegerField(default=0)
    chars_cached = models.PositiveBigIntegerField(default=0)

    audio_name = models.CharField(
        max_length=255, blank=True, default="", help_text="The file's name in storage."
    )
    audio_bytes = models.PositiveBigIntegerField(default=0)
    audio_checksum = models.CharField(
        max_length=64, blank=True, default="", help_text="SHA-256 of the file."
    )
    audio_duration_ms = models.PositiveBigIntegerField(default=0)

    class Meta(Operation.Meta):
        db_table = "generation_jobs"
        verbose_name = "generation"
        verbose_name_plural = "generations"
        indexes = [
            *Operation.Meta.indexes,
            models.Index(fields=["status", "-id"], name="generation_jobs_status"),
            models.Index(fields=["episode", "-id"], name="generation_jobs_episode"),
            models.Index(
                fields=["source_hash", "-id"],
                name="generation_jobs_source",
                condition=~Q(source_hash=""),
            ),
            models.Index(
                fields=["audio_name"],
                name="generation_jobs_audio",
                condition=~Q(audio_name=""),
            ),
            models.Index(fields=["created_at"], name="generation_jobs_created"),
        ]
        constraints = [
            models.UniqueConstraint(
                name="generation_jobs_one_active_per_episode",
                fields=["episode"],
                condition=Q(status__in=["pending", "in_progress", "paused"]),
            ),
            models.CheckConstraint(
                name="generation_jobs_completed_has_audio",
                condition=~Q(status="completed") | ~Q(audio_checksum=""),
            ),
            models.CheckConstraint(
                name="generation_jobs_failed_has_an_error",
                condition=~Q(status="failed") | ~Q(error_code=""),
            ),
        ]

    def __str__(self) -> str:
        return f"Generation {self.pk} of episode {self.episode_id}"

    @property
    def description(self) -> str:
        return f"The audio of “{self.episode.title}”"

    def get_absolute_url(self) -> str:
        return reverse("my-generation", args=[self.pk])

    @property
    def is_quiet(self) -> bool:
        """Whether nothing of it runs or is about to: its script can be edited."""
        return not self.is_runnable and not self.requested

    @property
    def is_current(self) -> bool:
        """Whether the episode's own generation fields tell of this one."""
        return self.episode.generation_job_id == str(self.pk)

    @classmethod
    def viewable_by(cls, user: Any) -> models.QuerySet[Any]:
        return super().viewable_by(user).select_related("episode", "requested_by")


class GenerationStage(Job):
    """One of the four stages of a generation."""

    operation_field: ClassVar[str] = "generation"

    generation = models.ForeignKey(GenerationJob, on_delete=models.CASCADE, related_name="jobs")

    class Meta(Job.Meta):
        db_table = "generation_stages"


class ScriptPortion(models.Model):
    """A part of a script that was paid for, kept until the script is whole."""

    generation = models.ForeignKey(
        GenerationJob, on_delete=models.CASCADE, related_name="portions", db_index=False
    )
    number = models.PositiveIntegerField()
    turns = models.JSONField()

    class Meta:
        db_table = "generation_script_portions"
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(
                name="generation_script_portions_once", fields=["generation", "number"]
            )
        ]

    def __str__(self) -> str:
        return f"Portion {self.number} of generation {self.generation_id}"


class GenerationSegment(models.Model):
    """What one call to the speech provider said, and where it is heard in the episode.

    `start_ms` is known once the file is joined. `cost` is what this generation paid for it:
    0 for one that was in the cache.
    """

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        CACHED = "cached", "From the cache"
        MADE = "made", "Made"

    generation = models.ForeignKey(
        GenerationJob, on_delete=models.CASCADE, related_name="segments", db_index=False
    )
    number = models.PositiveIntegerField()
    chapter = models.PositiveIntegerField(help_text="An index into the outline's chapters.")
    speaker = models.CharField(max_length=16)
    voice = models.CharField(max_length=64)
    text = models.TextField()
    cache_key = models.CharField(max_length=64)
    state = models.CharField(max_length=8, choices=State.choices, default=State.PENDING)
    duration_ms = models.PositiveIntegerField(null=True)
    start_ms = models.PositiveIntegerField(null=True)
    cost = models.DecimalField(max_digits=12, decimal_places=6, default=Decimal(0))

    class Meta:
        db_table = "generation_segments"
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(
                name="generation_segments_once", fields=["generation", "number"]
            )
        ]
        indexes = [
            models.Index(fields=["cache_key"], name="generation_segments_key"),
            models.Index(
                fields=["generation", "number"],
                name="generation_segments_pending",
                condition=Q(state="pending"),
            ),
        ]

    def __str__(self) -> str:
        return f"Segment {self.number} of generation {self.generation_id}"


class AudioCache(models.Model):
    """One segment's sound, for whoever needs the same again.

    The key is a hash of everything that shapes the sound. While it is `making`, `maker` makes
    it, until `making_until` at most; nobody else does. `audio_name` is the file's name in
    storage, which ends with its checksum. `lufs` is its loudness, None where nothing is heard.
    """

    class State(models.TextChoices):
        MAKING = "making", "Being made"
        READY = "ready", "Ready"

    cache_key = models.CharField(max_length=64, unique=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.MAKING)
    maker = models.ForeignKey(
        GenerationJob, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    making_until = models.DateTimeField(null=True, blank=True)
    audio_name = models.CharField(max_length=255, blank=True, default="")
    audio_bytes = models.PositiveBigIntegerField(default=0)
    mime_type = models.CharField(max_length=64, default=MP3)
    checksum = models.CharField(max_length=64, blank=True, default="")
    parameters = models.JSONField(default=dict)
    duration_ms = models.PositiveIntegerField(default=0)
    lufs = models.FloatField(null=True, blank=True)
    peak_db = models.FloatField(null=True, blank=True)
    usage_count = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(db_default=Now())
    last_used_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "audio_cache"
        verbose_name = "kept sound"
        verbose_name_plural = "kept sounds"
        indexes = [models.Index(fields=["last_used_at"], name="audio_cache_last_used")]
        constraints = [
            models.CheckConstraint(
                name="audio_cache_ready_has_a_file",
                condition=~Q(state="ready") | (~Q(audio_name="") & ~Q(checksum="")),
            )
        ]

    def __str__(self) -> str:
        return self.cache_key

    @property
    def audio_url(self) -> str:
        """Where it can be heard; signed and for a time where the storage is private."""
        return str(default_storage.url(self.audio_name)) if self.audio_name else ""


class GenerationMetrics(models.Model):
    """What one generation used and cost, however it ended; kept as long as its episode.

    `tokens_in` and `tokens_out` together are what was asked for as gpt4TokensUsed.
    `tts_chars_used` were paid for, `chars_cached` weren't. `actual_duration` is how long the
    generation worked, in seconds, waits left out. `stages` has the same for each stage.
    """

    episode = models.ForeignKey(
        Episode, on_delete=models.CASCADE, related_name="generation_metrics"
    )
    generation = models.OneToOneField(
        GenerationJob, null=True, on_delete=models.SET_NULL, related_name="metrics"
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    type = models.CharField(max_length=16, choices=Episode.Type.choices)
    outcome = models.CharField(max_length=16, choices=Operation.Status.choices)
    text_provider = models.CharField(max_length=255)
    speech_provider = models.CharField(max_length=255)
    tokens_in = models.PositiveBigIntegerField(default=0)
    tokens_out = models.PositiveBigIntegerField(default=0)
    tts_chars_used = models.PositiveBigIntegerField(default=0)
    chars_cached = models.PositiveBigIntegerField(default=0)
    estimated_cost = models.DecimalField(max_digits=12, decimal_places=6, default=Decimal(0))
    actual_duration = models.FloatField(default=0)
    audio_seconds = models.FloatField(default=0)
    stages = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "generation_metrics"
        verbose_name = "generation's metrics"
        verbose_name_plural = "generation metrics"
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["type", "created_at"], name="generation_metrics_type"),
            models.Index(fields=["created_at"], name="generation_metrics_created"),
        ]

    def __str__(self) -> str:
        return f"Metrics of generation {self.generation_id}"

    @property
    def tokens_used(self) -> int:
        return self.tokens_in + self.tokens_out

    @property
    def cached_share(self) -> float:
        """How much of what was said came from the cache, 0 to 1."""
        said = self.tts_chars_used + self.chars_cached
        return self.chars_cached / said if said else 0.0
