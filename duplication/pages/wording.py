"""What a duplication's state means to the person who asked for it. No jargon, no blame."""

from __future__ import annotations

from duplication.models import Duplication

_TOLD = {
    "pending": "Copying starts in a moment. You can close this page: it goes on without you, and "
    "the bell above tells you when it is done.",
    "in_progress": "Your copy is being made. You can close this page: it goes on without you, and "
    "the bell above tells you when it is done.",
    "waiting": "On hold. It goes on by itself as soon as it can: you can close this page.",
    "pausing": "Pausing: what is being copied right now is finished first.",
    "paused": "Paused. Nothing is lost: resume it whenever you like.",
    "cancelling": "Stopping: what is being copied right now is finished first.",
    "cancelled": "You stopped this copy. What was made of it is taken away again; your episode was "
    "not touched.",
    "completed": "Your copy is ready. Every row of it was checked against the original.",
    "removing": "The copy is being taken away. Your episode is not touched.",
    "removed": "The copy was taken away again. Your episode was not touched.",
}


def told(duplication: Duplication) -> str:
    if duplication.has_status("FAILED") and duplication.display_status == "failed":
        return (
            "Something went wrong and the copy could not be finished. Your episode was not "
            f"touched. Try again; if that doesn't help, give an administrator “{duplication}”."
        )
    return _TOLD.get(duplication.display_status, "")
