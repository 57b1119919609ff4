from typing import ClassVar

from django.db import models

from operations.models import Job, Operation


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


class ToyRow(models.Model):
    """One number written by one operation: written twice breaks the constraint."""

    toy = models.ForeignKey(ToyOperation, on_delete=models.CASCADE, related_name="written")
    number = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["toy", "number"], name="toy_number_once")]

    def __str__(self):
        return f"{self.toy_id}: {self.number}"
