"""Duplication as a kind of operation: its jobs in order, and what ends it."""

from __future__ import annotations

from typing import ClassVar

from duplication.copying import COPY_JOBS
from duplication.links import RewriteLinks
from duplication.models import Duplication, DuplicationJob
from duplication.verification import VerifyCopy
from operations import control, delivery
from operations.kinds import Kind
from operations.work import Work

LINKS = "links"
VERIFY = "verify"


class DuplicationKind(Kind[Duplication]):
    """Stages: the tree's levels from the root down, then links, then the verification.

    The last job of a stage adds the next stage's in its own commit.
    """

    name = "duplication"
    operation = Duplication
    job = DuplicationJob
    jobs_by_stage: ClassVar[dict[str, type[Work[DuplicationJob]]]] = {
        **COPY_JOBS,
        LINKS: RewriteLinks,
        VERIFY: VerifyCopy,
    }
    work = {work.__name__: work for work in jobs_by_stage.values()}
    stages = tuple(jobs_by_stage)

    def stage_completed(self, operation: Duplication, stage: str) -> None:
        following = self.stages[self.stages.index(stage) + 1 :]
        if following:
            self.add_stage(operation, following[0])
        else:
            control.complete(operation, payload={"new_episode_id": operation.new_episode_id})

    def add_stage(self, duplication: Duplication, stage: str) -> None:
        delivery.add_job(
            DuplicationJob, duplication, name=self.jobs_by_stage[stage].__name__, stage=stage
        )

    def start(self, duplication: Duplication) -> None:
        """Add the first stage, in the transaction that creates the duplication."""
        self.add_stage(duplication, self.stages[0])

    def on_failed(self, operation: Duplication) -> None:
        # A verification that is tried again looks at everything again.
        DuplicationJob.objects.filter(duplication=operation.pk, stage=VERIFY).update(
            cursor=None, counts={}
        )

    def log_fields(self, operation: Duplication) -> dict[str, object]:
        return {"duplication_id": operation.pk, "org_episode_id": operation.org_episode_id}


DUPLICATION = DuplicationKind()
