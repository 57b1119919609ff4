"""Work that can't be done at present, and says so itself."""

from django.utils import timezone

from operations.exceptions import WorkWaits
from tests.operations.toy.kind import TOY, Count, misbehaving


def wait(job):
    if job.cursor == 4:
        raise WorkWaits(300, "The provider is closed until noon.")


def test_work_that_waits_is_rolled_back_and_says_why_and_until_when(driver):
    operation = TOY.start(rows=10)
    with misbehaving(wait):
        assert driver.run_to_end(operation) == ["waiting"]

    job = driver.job(operation)
    assert driver.numbers(operation) == [1, 2, 3, 4]
    assert operation.waiting_reason == "The provider is closed until noon."
    assert 290 < (operation.waiting_until - timezone.now()).total_seconds() <= 300
    assert (job.status, job.attempts, job.lease_token) == ("in_progress", 0, None)
    assert "waiting" in driver.names(operation)
    assert "exception" not in driver.names(operation)


def test_work_that_waits_before_its_transaction_waits_as_well(driver, monkeypatch):
    operation = TOY.start(rows=10)
    monkeypatch.setattr(Count, "prepare", lambda self, job, size: wait(job) or f"prepared {size}")
    assert driver.run_to_end(operation) == ["waiting"]
    assert driver.numbers(operation) == [1, 2, 3, 4]


def test_work_that_waited_goes_on_by_itself_to_its_end(driver):
    operation = TOY.start(rows=10)
    with misbehaving(wait):
        for _ in range(10):  # more often than a job may be attempted
            driver.run_to_end(operation)
            operation.jobs.update(not_before=None)
    driver.run_to_end(operation)

    assert (operation.status, operation.waiting_reason) == ("completed", "")
    assert driver.numbers(operation) == list(range(1, 11))
