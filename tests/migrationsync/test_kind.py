"""A run's stages, in which order they come, and how much of the whole each is."""

from __future__ import annotations

import pytest

from migrationsync import runs
from migrationsync.kind import SYNC
from migrationsync.models import DifferentialRecord
from operations import runner
from operations.watching import percent
from tests.factories.sync import DifferentialFactory, JobFactory, RunFactory
from tests.migrationsync.syncing import begin

pytestmark = pytest.mark.django_db


def names(purpose):
    run = RunFactory.build(purpose=purpose, entities=["offices", "profiles"])
    return [str(part) for part in runs.parts(run)]


def test_loads_go_forward_and_deletes_backward():
    assert names("load") == ["load-offices", "load-profiles"]
    assert names("sync") == [
        "sync-offices",
        "sync-profiles",
        "delete-profiles",
        "delete-offices",
        "check-offices",
        "check-profiles",
    ]
    assert names("resolve")[0] == "resolve-offices"


@pytest.mark.parametrize("state", ["open", "resolved"])
def test_deletes_are_done_where_some_wait_and_checks_where_something_was_resolved(state):
    differential = DifferentialFactory()
    run = differential.checkpoint.run
    differential.records.update(resolving_run=run, strategy="source_wins")
    if state != "open":
        differential.records.update(state=state, decided_at=run.created_at)
    needed = [
        runs.is_needed(run, runs.Part(step, entity))
        for step in ("delete", "check")
        for entity in ("offices", "profiles")
    ]

    assert needed == [state == "open", False, state != "open", False]
    assert DifferentialRecord.objects.count() == 1


def test_a_job_that_never_ran_has_no_stages_and_no_jobs():
    job = JobFactory()

    assert list(SYNC.stages_of(job)) == []
    assert not SYNC.jobs_of(job).exists()


def test_an_entity_has_its_share_of_the_percentage(dispatch):
    dispatch.add_offices(*range(1, 4))
    dispatch.add_profiles(*range(1, 6))
    job = dispatch.job(max_records_per_batch=2)
    begin(job, "load")
    assert [stage.weight for stage in SYNC.stages_of(job)] == [1, 1]

    reached = []
    while job.latest_run.is_open:
        checkpoint = SYNC.jobs_of(job).filter(status__in=["pending", "in_progress"]).get()
        runner.run("sync", checkpoint.pk, budget_seconds=0)
        job.refresh_from_db()
        reached.append(percent(job, SYNC.stages_of(job)))

    assert [(stage.label, stage.weight) for stage in SYNC.stages_of(job)] == [
        ("Load offices", 4),
        ("Load profiles", 6),
    ]
    assert reached == [26, 40, 64, 88, 100]


def test_stages_that_are_not_always_needed_come_into_view_together(dispatch):
    dispatch.add_offices(1)
    job = dispatch.job()
    run = begin(job, "sync")
    names = ["sync-offices", "sync-profiles"]
    assert [stage.name for stage in SYNC.stages_of(job)] == names

    job.progress = {"sync-offices": {}, "sync-profiles": {}, "check-offices": {}}
    checks = ["check-offices", "check-profiles"]
    assert [stage.name for stage in SYNC.stages_of(job)] == names + checks

    run.outcome = "completed"
    job.latest_run = run
    assert [stage.name for stage in SYNC.stages_of(job)] == [*names, "check-offices"]
