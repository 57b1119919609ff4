"""Generation as a kind of operation: its stages in order, and what ends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from django.urls import reverse
from django.utils import timezone

from generation import episodes, metrics
from generation.models import GenerationJob, GenerationStage, StageName
from generation.pipeline import RunStage, work_of
from generation.stages import ORDER, STAGES, names_from
from operations import control, delivery, events
from operations.kinds import Kind
from operations.stages import Stage

SCRIPT_IS_READY = "The script is ready: read it, edit it, then resume."


class GenerationKind(Kind[GenerationJob]):
    name = "generation"
    operation = GenerationJob
    job = GenerationStage
    jobs_by_stage: ClassVar[dict[str, type[RunStage]]] = {
        stage.name.value: work_of(stage) for stage in ORDER
    }
    work = {work.__name__: work for work in jobs_by_stage.values()}
    stages = tuple(stage.name for stage in STAGES)

    def stages_of(self, operation: GenerationJob) -> Sequence[Stage]:
        return STAGES

    def start(self, generation: GenerationJob) -> None:
        """Add the first stage that is to be done, in the transaction that creates the
        generation; those before it count as done."""
        first, *_ = names_from(generation.from_stage)
        now = timezone.now().isoformat()
        for stage in self.stages[: self.stages.index(first)]:
            generation.progress[stage] = {
                "done": 1,
                "total": 1,
                "started_at": now,
                "ended_at": now,
                "waited_before": 0,
            }
        generation.save(update_fields=["progress"])
        episodes.show_started(generation)
        self._add_stage(generation, first)

    def stage_completed(self, operation: GenerationJob, stage: str) -> None:
        _, *following = names_from(stage)
        if following:
            if stage == StageName.SCRIPT and operation.stop_before_audio:
                operation.requested = operation.Request.PAUSE
                operation.save(update_fields=["requested", "updated_at"])
                events.append(operation, "feedback", payload={"message": SCRIPT_IS_READY})
            self._add_stage(operation, following[0])
            return
        payload = {"episode_id": operation.episode_id, "cost": str(operation.cost)}
        control.complete(operation, payload=payload)
        episodes.show_completed(operation, audio_url(operation))
        metrics.record(operation)

    def refusal(self, operation: GenerationJob, verb: str) -> str:
        if verb == "retry" and not operation.is_current:
            return (
                "Another generation of this episode came after it: see that one, or start a "
                "new one from the stage you want."
            )
        return ""

    def on_resumed(self, operation: GenerationJob) -> None:
        episodes.show_resumed(operation)

    def on_failed(self, operation: GenerationJob) -> None:
        episodes.show_failed(operation)
        metrics.record(operation)

    def on_cancelled(self, operation: GenerationJob) -> None:
        episodes.show_cancelled(operation)
        metrics.record(operation)

    def log_fields(self, operation: GenerationJob) -> dict[str, object]:
        return {"generation_id": operation.pk, "episode_id": operation.episode_id}

    def _add_stage(self, generation: GenerationJob, stage: str) -> None:
        name = self.jobs_by_stage[stage].__name__
        delivery.add_job(GenerationStage, generation, name=name, stage=stage)


def audio_url(generation: GenerationJob) -> str:
    """Where the episode's audio is heard: an address of ours that stays, whatever the storage.
    Its last part changes with the sound, so that it may be kept by who has heard it."""
    return reverse(
        "episode-audio", args=[generation.episode_id, f"{generation.audio_checksum[:16]}.mp3"]
    )


GENERATION = GenerationKind()
