"""The dry run: what differs is stored by segment, and an older comparison gives way."""

from __future__ import annotations

import pytest

from migrationsync.dispatch.models import Office
from migrationsync.identifiers import uuid7
from migrationsync.models import DataDifferential, DifferentialRecord, LegacyIdMapping
from migrationsync.services.jobs import change_job
from operations import runner
from tests.migrationsync.syncing import begin, sync, sync_to_end


def undecided(job):
    return DifferentialRecord.objects.to_decide().of_job(job)


def open_kinds():
    return {
        each.kind: each.record_count for each in DataDifferential.objects.filter(superseded_at=None)
    }


@pytest.fixture
def job(dispatch):
    """Offices 1 to 4 on both sides; 1 changed in the source, 2 in the target, 3 gone from the
    source; 5 is new, and one row is the target's own."""
    dispatch.add_offices(1, 2, 3, 4)
    job = dispatch.job(entities_to_sync=["offices"])
    sync(job, "load")
    dispatch.change(1)
    second = LegacyIdMapping.objects.get(legacy_id=2).uuid_id
    Office.objects.filter(pk=second).update(name="Here")
    dispatch.remove(3)
    dispatch.add_offices(5)
    own = Office.objects.get(pk=second)
    own.pk = uuid7()
    own.save(force_insert=True)
    return job


ALL = {
    "source_changed": 1,
    "target_changed": 1,
    "deleted_in_source": 1,
    "missing": 1,
    "extra": 1,
}


def test_compare_stores_every_difference_and_changes_nothing(job):
    before = list(Office.objects.order_by("pk").values())

    run = sync(job, "compare")

    assert open_kinds() == ALL
    assert run.counts == ALL
    assert list(Office.objects.order_by("pk").values()) == before
    assert (job.status, job.total_records_synced) == ("completed", 4)
    extra = DifferentialRecord.objects.get(differential__kind="extra")
    assert (extra.legacy_id, extra.state) == (None, "open")
    assert extra.differential.legacy_ids == [str(extra.uuid)]
    criteria = extra.differential.comparison_criteria
    assert criteria["columns"]["monthly_rent"] == "rent"
    assert extra.differential.resolution_strategy == "manual_review"


def test_compare_by_the_source_alone_leaves_the_target_out(job):
    sync(job, "compare", options={"source_only": True})

    assert open_kinds() == {"source_changed": 1, "deleted_in_source": 1, "missing": 1}


def test_compare_since_a_moment_sees_what_changed_since(dispatch, job):
    dispatch.change(4, column="modified", to="2031-01-01 00:00:00")
    dispatch.change(4)

    sync(job, "compare", options={"since": "2030-01-01T00:00:00Z"})

    assert open_kinds() == {"source_changed": 1}
    assert DataDifferential.objects.get().legacy_ids == [4]


def test_compare_again_supersedes_what_was_open(job):
    first = sync(job, "compare")
    second = sync(job, "compare")

    older = DataDifferential.objects.filter(checkpoint__run=first)
    assert older.count() == 5
    assert not older.filter(superseded_at=None).exists()
    assert open_kinds() == ALL
    assert second.outcome == "completed"


@pytest.mark.parametrize(
    ("purpose", "options", "walked"),
    [
        ("compare", {}, 8 + 5),  # keys of either side, then the target's rows
        ("compare", {"source_only": True}, 8),
        ("sync", {}, 8 + 5 + 4),  # also those that it brings over
    ],
)
def test_total_of_a_comparison_is_what_it_walks(
    dispatch, job, monkeypatch, purpose, options, walked
):
    for work in ("compare", "sync"):
        monkeypatch.setattr(f"migrationsync.works.{work}.LEAST_ROWS", 2)
    dispatch.add_offices(6, 7, 8, 9)
    change_job(job, by=None, max_records_per_batch=2)
    run = begin(job, purpose, options=options)
    checkpoint = run.checkpoints.get()
    seen = []
    while checkpoint.status != "completed":
        runner.run("sync", checkpoint.pk, budget_seconds=0)
        checkpoint.refresh_from_db()
        seen.append((checkpoint.records_processed, checkpoint.records_total))

    assert len(seen) > 4
    # Some keys more: the two sides' segments overlap.
    assert seen[0][1] == walked
    assert walked <= seen[-1][0] == seen[-1][1] <= walked + 4


def test_compare_leaves_another_jobs_findings_to_it(dispatch, job):
    sync(job, "compare")
    other = dispatch.job(entities_to_sync=["offices"])

    sync(other, "compare")

    for each in (job, other):
        found = DataDifferential.objects.filter(checkpoint__sync_job=each)
        assert not found.exclude(superseded_at=None).exists()
        assert undecided(each).count() == 5
    sync(job, "compare")
    assert undecided(job).count() == undecided(other).count() == 5


def test_a_comparison_of_the_source_alone_leaves_open_what_it_doesnt_look_at(job):
    sync(job, "compare")
    full = set(DataDifferential.objects.values_list("pk", flat=True))

    sync(job, "compare", options={"source_only": True})
    sync(job, "compare", options={"source_only": True})

    still = DataDifferential.objects.filter(superseded_at=None)
    assert full <= set(still.values_list("pk", flat=True))
    assert still.exclude(pk__in=full).count() == 3


def test_a_comparison_supersedes_only_at_its_end_and_only_its_entity(dispatch, job, monkeypatch):
    monkeypatch.setattr("migrationsync.works.compare.LEAST_ROWS", 2)
    sync(job, "compare")
    DataDifferential.objects.filter(kind="extra").update(entity_type="profiles")
    job.max_records_per_batch = 2
    job.save()
    run = begin(job, "compare")

    runner.run("sync", run.checkpoints.get().pk, budget_seconds=0)
    assert DataDifferential.objects.exclude(superseded_at=None).count() == 0

    outcomes = sync_to_end(job, budget_seconds=0)
    assert len(outcomes) > 2
    left = DataDifferential.objects.filter(superseded_at=None).exclude(checkpoint__run=run)
    assert [each.entity_type for each in left] == ["profiles"]
    run.refresh_from_db()
    assert run.counts == ALL
