import pytest
from django_q.models import OrmQ

from operations import runner
from operations.gates.load import forget_readings
from operations.models import Event
from tests.operations.toy.kind import TOY
from tests.operations.toy.models import ToyJob


@pytest.fixture(autouse=True)
def fresh_readings():
    forget_readings()


class Driver:
    """Runs a toy operation's jobs as workers would, one after the other."""

    def run(self, job, **options):
        return runner.run(TOY.name, job.pk, **options)

    def run_to_end(self, operation):
        outcomes = []
        while job := operation.jobs.filter(status__in=["pending", "in_progress"]).first():
            outcome = self.run(job)
            outcomes.append(str(outcome))
            if outcome in ("not_taken", "waiting", "lost"):
                break
        operation.refresh_from_db()
        return outcomes

    def numbers(self, operation):
        return list(operation.written.order_by("number").values_list("number", flat=True))

    def events(self, operation):
        return list(Event.objects.filter(kind="toy", operation_id=str(operation.pk)))

    def names(self, operation):
        return [event.name.removeprefix("toy.") for event in self.events(operation)]

    def queued(self):
        return [entry.task["args"] for entry in OrmQ.objects.order_by("id")]

    def job(self, operation, **filters):
        return ToyJob.objects.get(toy=operation, **filters)


@pytest.fixture
def driver(db):
    return Driver()
