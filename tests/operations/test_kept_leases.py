"""Work whose preparation takes longer than a lease, and leaves something running."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.utils import timezone

from operations import leases, runner
from tests.operations.toy.kind import TOY, Count
from tests.operations.toy.models import ToyJob

# The lease is extended by another thread: what it sees must be committed.
pytestmark = pytest.mark.django_db(transaction=True)


def test_lease_is_extended_for_as_long_as_the_block_runs(settings: Any) -> None:
    settings.OPERATION_LEASE_SECONDS = 0.3
    job = leases.claim(TOY, TOY.start().jobs.get().pk).job
    assert job is not None
    with leases.kept(job):
        claimed_until = ToyJob.objects.get().lease_until
        assert claimed_until is not None
        while timezone.now() < claimed_until + leases.lease():
            assert leases.claim(TOY, job.pk).job is None
    assert "lease" not in [thread.name for thread in threading.enumerate()]
    while ToyJob.objects.get(pk=job.pk).lease_until > timezone.now():
        pass  # not extended any more
    assert leases.claim(TOY, job.pk).job is not None


def test_lease_that_was_lost_is_not_taken_back(settings: Any) -> None:
    settings.OPERATION_LEASE_SECONDS = 0.3
    job = leases.claim(TOY, TOY.start().jobs.get().pk).job
    assert job is not None
    ToyJob.objects.update(lease_until=timezone.now())
    other = leases.claim(TOY, job.pk).job
    assert other is not None
    until = ToyJob.objects.get().lease_until
    assert until is not None
    with leases.kept(job):
        while timezone.now() < until:
            pass
    assert ToyJob.objects.get().lease_until == until


@pytest.mark.parametrize("fails", [False, True])
def test_work_is_closed_once_at_the_end_of_a_run(
    monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    closed = []

    def prepare(self: Count, job: ToyJob, size: int) -> str:
        assert not closed
        if fails and job.cursor:
            raise RuntimeError("broken")
        return f"prepared {size}"

    monkeypatch.setattr(Count, "prepare", prepare)
    monkeypatch.setattr(Count, "close", lambda self: closed.append(self))
    operation = TOY.start(rows=10)
    outcome = runner.run("toy", operation.jobs.get().pk)
    assert (str(outcome), len(closed)) == ("failed" if fails else "completed", 1)


def test_work_is_closed_before_the_job_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = ToyJob.objects.all()
    taken: list[bool] = []
    monkeypatch.setattr(
        Count, "close", lambda self: taken.append(jobs.get().lease_until is not None)
    )
    operation = TOY.start(rows=10)
    outcome = runner.run("toy", operation.jobs.get().pk, budget_seconds=0)
    assert (str(outcome), taken) == ("requeued", [True])
