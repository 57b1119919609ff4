"""Duplication as a kind of operation: its jobs in order, and what ends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from duplication.copying import COPY_JOBS
from duplication.drift import FindDrift
from duplication.links import RewriteLinks
from duplication.media.work import CopyMedia, look_again
from duplication.models import Duplication, DuplicationJob
from duplication.own_edits import keep_episode
from duplication.removal.conditions import why_not_retried
from duplication.removal.services import clean_up
from duplication.stages import DRIFT, LINKS, MEDIA, STAGES, VERDICT, VERIFY
from duplication.verification import PASSES, JudgeCopy, VerifyCopy
from operations import control, delivery
from operations.kinds import Kind
from operations.stages import Stage
from operations.work import Work


class DuplicationKind(Kind[Duplication]):
    """Stages: the tree's levels from the root down, then links, media, verification,
    drift and verdict.

    The last job of a stage adds the next stage's in its own commit.
    """

    name = "duplication"
    operation = Duplication
    job = DuplicationJob
    jobs_by_stage: ClassVar[dict[str, type[Work[DuplicationJob]]]] = {
        **COPY_JOBS,
        LINKS: RewriteLinks,
        MEDIA: CopyMedia,
        VERIFY: VerifyCopy,
        DRIFT: FindDrift,
        VERDICT: JudgeCopy,
    }
    work = {work.__name__: work for work in jobs_by_stage.values()}
    stages = tuple(stage.name for stage in STAGES)

    def stages_of(self, operation: Duplication) -> Sequence[Stage]:
        return STAGES

    def stage_completed(self, operation: Duplication, stage: str) -> None:
        following = self.stages[self.stages.index(stage) + 1 :]
        if following:
            self.add_stage(operation, following[0])
        else:
            keep_episode(operation)
            control.complete(operation, payload={"new_episode_id": operation.new_episode_id})

    def add_stage(self, duplication: Duplication, stage: str) -> None:
        lanes = [{"pass": name} for name in PASSES] if stage == VERIFY else [{}]
        for lane, parameters in enumerate(lanes):
            delivery.add_job(
                DuplicationJob,
                duplication,
                name=self.jobs_by_stage[stage].__name__,
                stage=stage,
                lane=lane,
                parameters=parameters,
            )

    def start(self, duplication: Duplication) -> None:
        """Add the first stage, in the transaction that creates the duplication."""
        self.add_stage(duplication, self.stages[0])

    def on_failed(self, operation: Duplication) -> None:
        """After a bad verdict a retry verifies everything again, and then judges anew; files
        that were missing are looked for again."""
        look_again(operation)
        jobs = DuplicationJob.objects.filter(duplication=operation)
        if jobs.filter(stage=VERDICT).delete()[0]:
            jobs.filter(stage=DRIFT).delete()
            operation.drift_findings.all().delete()
            for job in jobs.filter(stage=VERIFY):
                job.take("reopen", cursor=None, counts={}, ended_at=None)
            for stage in (VERIFY, DRIFT, VERDICT):
                operation.progress.pop(stage, None)
            operation.save(update_fields=["progress"])

    def refusal(self, operation: Duplication, verb: str) -> str:
        return why_not_retried(operation) if verb == "retry" else ""

    def on_cancelled(self, operation: Duplication) -> None:
        """What was made so far is taken away, without being asked."""
        clean_up(operation)

    def log_fields(self, operation: Duplication) -> dict[str, object]:
        return {"duplication_id": operation.pk, "org_episode_id": operation.org_episode_id}


DUPLICATION = DuplicationKind()
