"""What a watcher is told of an operation: the same for page, API and websocket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from operations import kinds
from operations.keys import as_json
from operations.models import Operation
from operations.pace import pace, waited_up_to
from operations.stages import Stage


def snapshot(operation: Operation) -> dict[str, Any]:
    """The operation as it is now, true up to and including event `sequence`."""
    kind = kinds.get(operation.kind)
    stages = kind.stages_of(operation)
    return {
        "kind": operation.kind,
        "id": as_json(operation.pk),
        "status": operation.status,
        "display_status": operation.display_status,
        "is_active": operation.is_active,
        "sequence": operation.event_sequence,
        "waiting": {
            "reason": operation.waiting_reason,
            "until": _iso(operation.waiting_until),
        }
        if operation.waiting_reason and operation.is_runnable
        else None,
        "error": {"code": operation.error_code, "message": operation.error_message}
        if operation.error_code
        else None,
        "question": kind.question(operation),
        "stages": [stage_snapshot(operation, stage.name) for stage in stages],
        "weights": weights(stages),
        "created_at": _iso(operation.created_at),
        "started_at": _iso(operation.started_at),
        "ended_at": _iso(operation.ended_at),
    }


def weights(stages: Sequence[Stage]) -> dict[str, int]:
    """Each stage's share of the percentage; they may become known only as the operation goes on."""
    return {stage.name: stage.weight for stage in stages}


def stage_snapshot(operation: Operation, stage: str) -> dict[str, Any]:
    """One stage's progress: what a progress event carries, too."""
    entry = operation.progress.get(stage, {})
    now = timezone.now()
    per_second, seconds_left = pace(entry, now=now, waited_seconds=waited_up_to(operation, now))
    running = operation.is_runnable and not entry.get("ended_at")
    return {
        "stage": stage,
        "done": entry.get("done", 0),
        "total": entry.get("total"),
        "started_at": entry.get("started_at"),
        "ended_at": entry.get("ended_at"),
        "rows_per_second": round(per_second) if per_second and running else None,
        "seconds_left": round(seconds_left, 1) if seconds_left is not None and running else None,
    }


def _iso(moment: Any) -> str | None:
    return moment.isoformat() if moment else None
