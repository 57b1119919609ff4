"""The thing a user starts and watches."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse

from operations.models.transitions import Edge, Transitions


class OperationManager(models.Manager[Any]):
    def get_queryset(self) -> models.QuerySet[Any]:
        return super().get_queryset().defer(*self.model.READ_LATE)


class Operation(Transitions):
    """Abstract. A concrete operation adds its subject and sets `kind`. Its large fields it names
    in `READ_LATE`: the row is read at each step, those when they are asked for.

    `requested` (what somebody asked for) is apart from `status` (what has been reached):
    an operation that was asked to pause is in progress until its running steps have ended.
    `waiting_*` say why nothing moves and when the next look is; `waited_seconds` is how
    long that has been in all, so that a rate can leave it out.
    """

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        IN_PROGRESS = "in_progress", "In progress"
        PAUSED = "paused", "Paused"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"
        COMPLETED = "completed", "Completed"

    class Request(models.TextChoices):
        NONE = "", "None"
        PAUSE = "pause", "Pause"
        CANCEL = "cancel", "Cancel"

    EDGES: ClassVar[dict[str, Edge]] = {
        "start": Edge(("PENDING",), "IN_PROGRESS"),
        "pause": Edge(("PENDING", "IN_PROGRESS"), "PAUSED"),
        "resume": Edge(("PAUSED",), "IN_PROGRESS"),
        "retry": Edge(("FAILED",), "IN_PROGRESS"),
        "complete": Edge(("IN_PROGRESS",), "COMPLETED"),
        "fail": Edge(("PENDING", "IN_PROGRESS"), "FAILED"),
        "cancel": Edge(("PENDING", "IN_PROGRESS", "PAUSED"), "CANCELLED"),
    }
    ACTIVE: ClassVar[tuple[str, ...]] = ("PENDING", "IN_PROGRESS", "PAUSED")
    RUNNABLE: ClassVar[tuple[str, ...]] = ("PENDING", "IN_PROGRESS")

    kind: ClassVar[str]
    READ_LATE: ClassVar[tuple[str, ...]] = ()

    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    requested = models.CharField(
        max_length=8, choices=Request.choices, default=Request.NONE, blank=True
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    progress = models.JSONField(
        default=dict,
        blank=True,
        help_text='Per stage: {"blocks": {"done": 4000, "total": 9000}}. Total null: unknown.',
    )
    event_sequence = models.BigIntegerField(default=0, editable=False)
    waiting_reason = models.CharField(max_length=255, blank=True, default="")
    waiting_since = models.DateTimeField(null=True, blank=True)
    waiting_until = models.DateTimeField(null=True, blank=True)
    waited_seconds = models.FloatField(default=0)
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    traceparent = models.CharField(max_length=64, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    # When who asked for it was shown its end; the bell counts those that weren't.
    seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OperationManager()

    class Meta:
        abstract = True
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["requested_by"],
                name="%(class)s_unseen",
                condition=Q(ended_at__isnull=False, seen_at__isnull=True),
            )
        ]

    @property
    def is_active(self) -> bool:
        """Whether something is to be done now. One that waits for its next run has ended."""
        return self.has_status(*self.ACTIVE) and self.ended_at is None

    @property
    def is_over(self) -> bool:
        """Whether nothing comes after its status."""
        return self.has_status(*self.final_statuses())

    @property
    def is_runnable(self) -> bool:
        return self.has_status(*self.RUNNABLE)

    @property
    def display_status(self) -> str:
        """The state by name: a request that was not reached yet has its own. The same for every
        kind, whatever its model stores and calls it; for what a person reads see `state_label`."""
        if self.is_active and self.requested == self.Request.PAUSE:
            return "pausing"
        if self.is_active and self.requested == self.Request.CANCEL:
            return "cancelling"
        if self.is_runnable and self.waiting_reason:
            return "waiting"
        return self.status_name

    @property
    def state_label(self) -> str:
        """`display_status` in its kind's words: “In progress”, or “Running”."""
        name = self.display_status
        return self.state_labels().get(name) or name.capitalize()

    @classmethod
    def state_labels(cls) -> dict[str, str]:
        """The words for statuses that were reached, by `display_status`."""
        return {status.name.lower(): str(status.label) for status in cls.Status}

    @property
    def is_unsettled(self) -> bool:
        """Whether what is told of it will change although it has ended, without an event."""
        return False

    @classmethod
    def viewable_by(cls, user: Any) -> models.QuerySet[Any]:
        """The operations `user` may see: their own, or all with the view permission."""
        operations = cls._default_manager.all()
        if not user.is_authenticated:
            return operations.none()
        meta = cls._meta
        if user.has_perm(f"{meta.app_label}.view_{meta.model_name}"):
            return operations
        return operations.filter(requested_by=user)

    def may_be_controlled_by(self, user: Any) -> bool:
        """Pausing, cancelling and the like: whose it is, or the change permission."""
        if not user.is_authenticated:
            return False
        meta = self._meta
        return bool(
            self.requested_by_id == user.pk
            or user.has_perm(f"{meta.app_label}.change_{meta.model_name}")
        )

    @property
    def description(self) -> str:
        """What the person who asked for it calls it."""
        return str(self)

    def get_absolute_url(self) -> str:
        """Where the person who asked for it watches it."""
        meta = self._meta
        return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[self.pk])

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
