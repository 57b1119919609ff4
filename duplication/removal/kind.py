"""Removal as a kind of operation: check, then the levels from the bottom up, then files."""

from __future__ import annotations

from typing import ClassVar

from duplication.models import Removal, RemovalJob
from duplication.removal.checking import CheckCopy
from duplication.removal.conditions import obstacle
from duplication.removal.deleting import DELETE_JOBS
from duplication.removal.files import RemoveFiles
from duplication.removal.hiding import show_copy_again
from operations import control, delivery
from operations.kinds import Kind
from operations.work import Work

CHECK = "check"
FILES = "files"


class RemovalKind(Kind[Removal]):
    """Once deletion has begun there is no way back: a removal that is cancelled then leaves
    the rest hidden, and another one ends it."""

    name = "removal"
    operation = Removal
    job = RemovalJob
    jobs_by_stage: ClassVar[dict[str, type[Work[RemovalJob]]]] = {
        CHECK: CheckCopy,
        **DELETE_JOBS,
        FILES: RemoveFiles,
    }
    work = {work.__name__: work for work in jobs_by_stage.values()}
    stages = tuple(jobs_by_stage)

    def stage_completed(self, operation: Removal, stage: str) -> None:
        following = self.stages[self.stages.index(stage) + 1 :]
        if following:
            self._add_stage(operation, following[0])
        else:
            control.complete(operation, payload={"duplication_id": operation.duplication_id})

    def start(self, removal: Removal) -> None:
        """Add the first stage, in the transaction that creates the removal."""
        self._add_stage(removal, self.stages[0])

    def _add_stage(self, removal: Removal, stage: str) -> None:
        name = self.jobs_by_stage[stage].__name__
        delivery.add_job(RemovalJob, removal, name=name, stage=stage)

    def refusal(self, operation: Removal, verb: str) -> str:
        found = obstacle(operation.duplication) if verb == "retry" else None
        return found.message if found else ""

    def on_failed(self, operation: Removal) -> None:
        """Before deletion has begun the copy is shown again, and a retry checks it anew."""
        if operation.duplication.deletion_began_at:
            return
        show_copy_again(operation)
        jobs = RemovalJob.objects.filter(removal=operation)
        jobs.exclude(stage=CHECK).delete()
        for job in jobs:
            if job.has_status("COMPLETED"):
                job.take("reopen", ended_at=None)
        jobs.update(cursor=None, counts={}, parameters={})
        operation.progress = {}
        operation.save(update_fields=["progress"])

    def on_cancelled(self, operation: Removal) -> None:
        show_copy_again(operation)

    def log_fields(self, operation: Removal) -> dict[str, object]:
        return {"removal_id": operation.pk, "duplication_id": operation.duplication_id}


REMOVAL = RemovalKind()
