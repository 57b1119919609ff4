"""What a generation used and cost, written in the commit that ends it."""

from __future__ import annotations

import datetime as dt
from typing import Any

from generation.models import GenerationJob, GenerationMetrics
from generation.providers.contract import Usage


def record(generation: GenerationJob) -> None:
    """Write the generation's metrics, or write them anew: one that failed may be retried.
    Idempotent; its row must be locked."""
    generation.refresh_from_db()
    used = sum(
        (Usage.from_json(each) for each in generation.usage.values()),
        start=Usage(),
    )
    GenerationMetrics.objects.update_or_create(
        generation=generation,
        defaults={
            "episode_id": generation.episode_id,
            "requested_by_id": generation.requested_by_id,
            "type": generation.episode.type,
            "outcome": generation.status,
            "text_provider": generation.text_provider,
            "speech_provider": generation.speech_provider,
            "tokens_in": used.tokens_in,
            "tokens_out": used.tokens_out,
            "tts_chars_used": generation.chars_paid,
            "chars_cached": generation.chars_cached,
            "estimated_cost": generation.cost,
            "actual_duration": _seconds_worked(generation),
            "audio_seconds": generation.audio_duration_ms / 1000,
            "stages": {
                stage: {**generation.usage.get(stage, {}), "seconds": _seconds(entry)}
                for stage, entry in generation.progress.items()
            },
        },
    )


def _seconds_worked(generation: GenerationJob) -> float:
    if not generation.started_at or not generation.ended_at:
        return 0.0
    lasted = (generation.ended_at - generation.started_at).total_seconds()
    return round(max(lasted - generation.waited_seconds, 0.0), 3)


def _seconds(entry: dict[str, Any]) -> float | None:
    """How long a stage took, waits included; None where it didn't end."""
    if not entry.get("ended_at"):
        return None
    began, ended = (dt.datetime.fromisoformat(entry[name]) for name in ("started_at", "ended_at"))
    return round((ended - began).total_seconds(), 3)
