"""The toy's work, with doors for a test to make it misbehave."""

from collections.abc import Callable
from contextlib import contextmanager

from django.db.models import Max

from operations import control, delivery
from operations.kinds import Kind
from operations.work import Step, Work
from tests.operations.toy.models import ToyJob, ToyOperation, ToyRow

# Called inside each step, after its rows are written: tests raise or look around in it.
before_commit: Callable[[ToyJob], None] | None = None


@contextmanager
def misbehaving(behaviour):
    global before_commit
    before_commit = behaviour
    try:
        yield
    finally:
        before_commit = None


class Count(Work):
    initial_size = 4
    min_size = 1
    max_size = 64

    def prepare(self, job, size):
        return f"prepared {size}"

    def step(self, job, size, prepared):
        assert prepared == f"prepared {size}"
        start = job.cursor or 0
        end = min(start + size, job.toy.rows)
        ToyRow.objects.bulk_create(
            ToyRow(toy=job.toy, number=number) for number in range(start + 1, end + 1)
        )
        if before_commit:
            before_commit(job)
        return Step(
            cursor=end,
            finished=end == job.toy.rows,
            rows=end - start,
            done=end - start,
            total=job.toy.rows if job.cursor is None else None,
            counts={"rows": end - start},
        )


class Check(Work):
    def step(self, job, size, prepared):
        highest = job.toy.written.aggregate(highest=Max("number"))["highest"] or 0
        return Step(cursor=highest, finished=True, notes=[{"message": f"highest is {highest}"}])


class ToyKind(Kind):
    name = "toy"
    operation = ToyOperation
    job = ToyJob
    work = {"Count": Count, "Check": Check}
    stages = ("count", "check")

    def stage_completed(self, operation, stage):
        if stage == "count":
            delivery.add_job(ToyJob, operation, name="Check", stage="check")
        else:
            control.complete(operation, payload={"rows": operation.rows})

    def start(self, *, rows=10, lanes=1, **fields):
        operation = ToyOperation.objects.create(rows=rows, **fields)
        for lane in range(lanes):
            delivery.add_job(ToyJob, operation, name="Count", stage="count", lane=lane)
        return operation


TOY = ToyKind()
