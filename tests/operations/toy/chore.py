"""A kind whose operations run again and again."""

from collections.abc import Callable
from contextlib import contextmanager

from django.db import transaction

from operations import control, delivery, runner
from operations.exceptions import WorkFailed
from operations.kinds import Kind
from operations.stages import Stage
from operations.work import Step, Work
from tests.operations.toy.models import Chore, ChoreJob

ROWS = 5
# Called inside each step: tests raise in it.
before_commit: Callable[[ChoreJob], None] | None = None


@contextmanager
def failing():
    global before_commit

    def fail(job):
        raise WorkFailed("The broom is gone.")

    before_commit = fail
    try:
        yield
    finally:
        before_commit = None


class Sweep(Work):
    def step(self, job, size, prepared):
        if before_commit:
            before_commit(job)
        return Step(cursor=ROWS, finished=True, rows=ROWS, done=ROWS, total=ROWS)


class ChoreKind(Kind):
    name = "chore"
    operation = Chore
    job = ChoreJob
    work = {"Sweep": Sweep}

    def jobs_of(self, operation):
        return super().jobs_of(operation).filter(run=operation.run)

    def stages_of(self, operation):
        return [Stage(name, f"{name.capitalize()}!") for name in operation.steps]

    def stage_completed(self, operation, stage):
        following = operation.steps[operation.steps.index(stage) + 1 :]
        if following:
            self.add_job(operation, following[0])
            return
        control.complete(operation, payload={"run": operation.run})
        if operation.recurs:
            control.schedule(operation)

    def on_resumed(self, operation):
        if not self.jobs_of(operation).exclude(status=ChoreJob.Status.COMPLETED).exists():
            control.schedule(operation)

    def start_run(self, chore, *steps, by=None):
        """Another run of `steps`; answers its first job."""
        with transaction.atomic():
            chore = Chore.objects.select_for_update().get(pk=chore.pk)
            run = chore.run + 1
            control.begin_again(self, chore, by=by, run=run, steps=list(steps))
            return self.add_job(chore, steps[0])

    def add_job(self, chore, stage, lane=0):
        return delivery.add_job(
            ChoreJob, chore, name="Sweep", stage=stage, lane=lane, run=chore.run
        )

    def run_to_end(self, chore):
        """As workers would. Answers the chore as it is then."""
        open_jobs = [ChoreJob.Status.PENDING, ChoreJob.Status.IN_PROGRESS]
        chore.refresh_from_db()
        outcomes = []
        while job := self.jobs_of(chore).filter(status__in=open_jobs).order_by("pk").first():
            outcomes.append(runner.run(self.name, str(job.pk)))
            if outcomes[-1] in ("not_taken", "waiting", "failed"):
                break
            chore.refresh_from_db()
        chore.refresh_from_db()
        return chore


CHORE = ChoreKind()
