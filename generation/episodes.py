"""The episode's own generation fields: true, at each commit, to what its generation did.

They tell of one generation, the one whose number is in `generation_job_id`: the newest that
wasn't cancelled. Every function here is called in the commit of what it tells, but for
`show_stage`, and changes nothing for a generation that isn't that one.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from content.models import Episode
from generation.models import GenerationJob, GenerationStage, StageName
from generation.stages import STAGES, STATUS_OF
from operations import watching

Status = Episode.GenerationStatus


def show_started(generation: GenerationJob) -> None:
    Episode.objects.filter(pk=generation.episode_id).update(
        generation_status=Status.PENDING,
        generation_job_id=str(generation.pk),
        generation_error=None,
        generation_progress=0,
        generation_started_at=None,
        generation_completed_at=None,
        updated_at=timezone.now(),
    )


def show_stage(generation: GenerationJob, status: Status) -> None:
    """A worker begins with a stage, or goes on with it. Commits."""
    waiting = _of(generation).exclude(generation_status=status)
    waiting.filter(generation_started_at=None).update(generation_started_at=timezone.now())
    waiting.update(generation_status=status, generation_error=None, updated_at=timezone.now())


def show_progress(job: GenerationStage, *, done: int, total: int | None) -> None:
    """What the stage's step, which is being written, brings it to."""
    generation = job.generation
    entry = generation.progress.get(job.stage, {"done": 0, "total": None})
    reached = {
        **generation.progress,
        job.stage: {
            **entry,
            "done": entry["done"] + done,
            "total": entry["total"] if total is None else total,
        },
    }
    percent = watching.percent(GenerationJob(progress=reached), STAGES) or 0
    _of(generation).update(generation_progress=percent, updated_at=timezone.now())


def show_resumed(generation: GenerationJob) -> None:
    """Somebody had it go on: it has failed no more, and waits for a worker."""
    stage = generation.jobs.exclude(status="completed").order_by("pk").first()
    if stage:
        _of(generation).update(
            generation_status=STATUS_OF[StageName(stage.stage)],
            generation_error=None,
            updated_at=timezone.now(),
        )


def show_failed(generation: GenerationJob) -> None:
    """The audio that the episode has, if any, stays."""
    _of(generation).update(
        generation_status=Status.FAILED,
        generation_error=generation.error_message,
        updated_at=timezone.now(),
    )


def show_completed(generation: GenerationJob, audio_url: str) -> None:
    now = timezone.now()
    _of(generation).update(
        audio_url=audio_url,
        generation_status=Status.COMPLETED,
        generation_error=None,
        generation_progress=100,
        generation_completed_at=now,
        updated_at=now,
    )


def show_cancelled(generation: GenerationJob) -> None:
    """As it was before: what was completed last is told again."""
    before = (
        GenerationJob.objects.filter(episode=generation.episode_id, status="completed")
        .order_by("-pk")
        .first()
    )
    has_audio = before is not None or bool(generation.episode.audio_url)
    _of(generation).update(
        generation_status=Status.COMPLETED if has_audio else Status.PENDING,
        generation_job_id=str(before.pk) if before else None,
        generation_error=None,
        generation_progress=100 if has_audio else 0,
        generation_started_at=before.started_at if before else None,
        generation_completed_at=before.ended_at if before else None,
        updated_at=timezone.now(),
    )


def _of(generation: GenerationJob) -> QuerySet[Any]:
    return Episode.objects.filter(pk=generation.episode_id, generation_job_id=str(generation.pk))
