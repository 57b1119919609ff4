"""What a generation's state means to the person who asked for it. No jargon, no blame."""

from __future__ import annotations

from generation.models import GenerationJob

_LEAVE = (
    "You can close this page: it goes on without you, and the bell above tells you when it is done."
)
_TOLD = {
    "pending": f"It starts in a moment. {_LEAVE}",
    "in_progress": f"Your audio is being made. {_LEAVE}",
    "waiting": "On hold. It goes on by itself as soon as it can: you can close this page.",
    "pausing": "Pausing: what is being made right now is finished first.",
    "paused": "Paused. Nothing is lost: resume it whenever you like.",
    "cancelling": "Stopping: what is being made right now is finished first.",
    "cancelled": "You stopped this. The sounds that were made are kept, and used again if you "
    "start once more.",
    "completed": "Your audio is ready.",
    "failed": "It could not be finished. What was made is kept: when the reason is out of the way, "
    "retry goes on from there and pays for nothing twice.",
}
_SCRIPT_IS_READY = (
    "The script is ready. Read it, edit it if you like, then resume: the audio is made of it."
)
_STAYS = "Until it is ready, your episode keeps the audio that it has."
_REPLACED = "Your episode has another audio by now, so this one isn't heard any more."


def told(generation: GenerationJob, *, is_heard: bool = True) -> str:
    """`is_heard`: whether what it made is what the episode plays."""
    status = generation.display_status
    if status == "paused" and _waits_for_an_editor(generation):
        return _SCRIPT_IS_READY
    if status == "completed" and not is_heard:
        return _REPLACED
    said = _TOLD[status]
    return f"{said} {_STAYS}" if generation.is_active and generation.episode.audio_url else said


def _waits_for_an_editor(generation: GenerationJob) -> bool:
    is_written = bool(generation.progress.get("script", {}).get("ended_at"))
    has_spoken = generation.progress.get("audio", {}).get("done", 0) > 0
    return generation.stop_before_audio and is_written and not has_spoken
