"""What happened, in order, for every kind of operation."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.functions import Now


class Event(models.Model):
    """Append-only. `sequence` counts 1, 2, 3 … per operation without a gap, in commit order."""

    kind = models.CharField(max_length=32)
    operation_id = models.CharField(max_length=64)
    sequence = models.BigIntegerField()
    name = models.CharField(max_length=64)
    stage = models.CharField(max_length=64, blank=True, default="")
    payload = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "operation_events"
        ordering = ["sequence"]
        constraints = [
            models.UniqueConstraint(
                name="operation_events_sequence_once",
                fields=["kind", "operation_id", "sequence"],
            ),
        ]
        indexes = [models.Index(fields=["name", "created_at"], name="operation_events_name")]

    def __str__(self) -> str:
        return f"{self.kind} {self.operation_id} #{self.sequence} {self.name}"

    def as_message(self) -> dict[str, Any]:
        """As watchers receive it, over the websocket and from the API."""
        return {
            "sequence": self.sequence,
            "name": self.name,
            "stage": self.stage,
            "payload": self.payload,
            "created_at": self.created_at.isoformat(),
        }
