"""One resumable unit of an operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.db import models
from django.db.models import Q

from operations.models.transitions import Edge, Transitions

if TYPE_CHECKING:
    from operations.models.operation import Operation


class JobQuerySet(models.QuerySet[Any]):
    def with_operation(self) -> JobQuerySet:
        """Each with its operation, read in the same query but for what is read late."""
        field = self.model.operation_field
        late = self.model._meta.get_field(field).related_model.READ_LATE
        return self.select_related(field).defer(*(f"{field}__{name}" for name in late))


class Job(Transitions):
    """Abstract. A concrete job adds the foreign key to its operation and names it.

    The cursor is the work's own: any JSON value that says where the next step starts.
    A job runs under a lease: `lease_token` proves that a writer is the one who claimed
    it last, `lease_until` is when it counts as dead. `due_at` is when the dispatcher
    puts the job on the queue (again): at the end of a wait, after a lost enqueue, after
    a lease ran out; null when nobody has to look. `attempts` counts claims since the
    last step that committed, so a step that kills its worker is found out.
    """

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        IN_PROGRESS = "in_progress", "In progress"
        PAUSED = "paused", "Paused"
        FAILED = "failed", "Failed"
        COMPLETED = "completed", "Completed"

    EDGES: ClassVar[dict[str, Edge]] = {
        "start": Edge(("PENDING", "IN_PROGRESS"), "IN_PROGRESS"),
        "pause": Edge(("PENDING", "IN_PROGRESS"), "PAUSED"),
        "resume": Edge(("PAUSED", "FAILED"), "IN_PROGRESS"),
        "complete": Edge(("IN_PROGRESS",), "COMPLETED"),
        "fail": Edge(("PENDING", "IN_PROGRESS"), "FAILED"),
        "reopen": Edge(("COMPLETED",), "PAUSED"),
    }
    RUNNABLE: ClassVar[tuple[str, ...]] = ("PENDING", "IN_PROGRESS")

    operation_field: ClassVar[str]

    name = models.CharField(max_length=64, help_text="The class of the work.")
    stage = models.CharField(max_length=64)
    lane = models.PositiveSmallIntegerField(default=0)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    cursor = models.JSONField(null=True, blank=True)
    parameters = models.JSONField(default=dict, blank=True)
    counts = models.JSONField(default=dict, blank=True)
    step_size = models.PositiveIntegerField(default=0, help_text="Rows of the next step; 0: first.")
    steps = models.PositiveIntegerField(default=0)
    latency = models.JSONField(
        default=dict,
        blank=True,
        help_text="Moving average of a step's time per row; see operations.gates.load.latency.",
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    deliveries = models.PositiveSmallIntegerField(default=0)
    lease_token = models.UUIDField(null=True, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    not_before = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    task_id = models.CharField(max_length=64, blank=True, default="", help_text="The queue's task.")
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_message = models.TextField(blank=True, default="")
    traceback = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        abstract = True
        ordering = ["id"]
        indexes = [
            models.Index(
                fields=["due_at"], name="%(class)s_due_at", condition=Q(due_at__isnull=False)
            ),
            models.Index(
                fields=["lease_until"],
                name="%(class)s_lease_until",
                condition=Q(lease_until__isnull=False),
            ),
        ]

    @property
    def operation(self) -> Operation:
        return cast("Operation", getattr(self, self.operation_field))

    @property
    def operation_id(self) -> Any:
        return getattr(self, f"{self.operation_field}_id")

    def __str__(self) -> str:
        return f"{self.name} {self.pk}"
