from typing import ClassVar

from django.db import models

from migrationsync.identifiers import uuid7
from operations.models import Job, Operation
from operations.models.transitions import Edge


class ToyOperation(Operation):
    """Writes the numbers from 1 to `rows`, in two stages: count, then check."""

    kind: ClassVar[str] = "toy"

    rows = models.PositiveIntegerField(default=10)

    class Meta(Operation.Meta):
        pass


class ToyJob(Job):
    operation_field: ClassVar[str] = "toy"

    toy = models.ForeignKey(ToyOperation, on_delete=models.CASCADE, related_name="jobs")

    class Meta(Job.Meta):
        pass


class Chore(Operation):
    """Is done again and again, each time in `steps` of its own. Its keys are UUIDs, and what is
    stored for a status isn't the kernel's name of it: a synchronization is like that."""

    class Status(models.TextChoices):
        PENDING = "scheduled", "Scheduled"
        IN_PROGRESS = "running", "Running"
        PAUSED = "paused", "Paused"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"
        COMPLETED = "completed", "Completed"

    EDGES: ClassVar[dict[str, Edge]] = {
        **Operation.EDGES,
        "schedule": Edge(("COMPLETED", "IN_PROGRESS", "FAILED", "CANCELLED"), "PENDING"),
    }
    kind: ClassVar[str] = "chore"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    run = models.PositiveIntegerField(default=0)
    steps = models.JSONField(default=list)
    recurs = models.BooleanField(default=True)

    class Meta(Operation.Meta):
        pass


class ChoreJob(Job):
    class Status(models.TextChoices):
        PENDING = "queued", "Queued"
        IN_PROGRESS = "working", "Working"
        PAUSED = "put_aside", "Put aside"
        FAILED = "failed", "Failed"
        COMPLETED = "done", "Done"

    operation_field: ClassVar[str] = "chore"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    chore = models.ForeignKey(Chore, on_delete=models.CASCADE, related_name="jobs")
    run = models.PositiveIntegerField()

    class Meta(Job.Meta):
        pass


class ToyRow(models.Model):
    """One number written by one operation: written twice breaks the constraint."""

    toy = models.ForeignKey(ToyOperation, on_delete=models.CASCADE, related_name="written")
    number = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["toy", "number"], name="toy_number_once")]

    def __str__(self):
        return f"{self.toy_id}: {self.number}"
