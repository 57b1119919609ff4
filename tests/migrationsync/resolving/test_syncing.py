"""A sync from the outside: each kind, each rule, each direction."""

from __future__ import annotations

import pytest

from migrationsync.differences import Kind
from migrationsync.models import AppliedChange, DifferentialRecord, LegacyIdMapping
from tests.migrationsync.resolving.records import both_engines, one_engine
from tests.migrationsync.syncing import sync

# What is in the source and the target in the end, by (kind, is contested, rule). One record.
ONE_WAY = {
    ("missing", False, "manual"): (["Bremen"], ["Bremen"]),
    ("quarantined", False, "manual"): (["Bremen"], ["Bremen"]),
    ("source_changed", False, "manual"): (["Celle"], ["Celle"]),
    ("source_changed", False, "target_wins"): (["Celle"], ["Celle"]),
    ("target_changed", False, "source_wins"): (["Bremen"], ["Bremen"]),
    ("target_changed", False, "target_wins"): (["Bremen"], ["Hamburg"]),
    ("both_changed", False, "source_wins"): (["Celle"], ["Celle"]),
    ("both_changed", False, "target_wins"): (["Celle"], ["Hamburg"]),
    ("deleted_in_source", False, "manual"): ([], []),
    ("deleted_in_source", True, "source_wins"): ([], []),
    ("deleted_in_source", True, "target_wins"): ([], ["Hamburg"]),
    ("deleted_in_target", False, "source_wins"): (["Bremen"], ["Bremen"]),
    ("deleted_in_target", False, "target_wins"): (["Bremen"], []),
    ("deleted_in_target", True, "source_wins"): (["Celle"], ["Celle"]),
    ("deleted_in_both", False, "manual"): ([], []),
}
BOTH_WAYS = {
    ("missing", False, "manual"): (["Bremen"], ["Bremen"]),
    ("source_changed", False, "manual"): (["Celle"], ["Celle"]),
    ("target_changed", False, "manual"): (["Hamburg"], ["Hamburg"]),
    ("both_changed", False, "source_wins"): (["Celle"], ["Celle"]),
    ("both_changed", False, "target_wins"): (["Hamburg"], ["Hamburg"]),
    ("deleted_in_source", False, "manual"): ([], []),
    ("deleted_in_source", True, "source_wins"): ([], []),
    ("deleted_in_source", True, "target_wins"): (["Hamburg"], ["Hamburg"]),
    ("deleted_in_target", False, "manual"): ([], []),
    ("deleted_in_target", True, "source_wins"): (["Celle"], ["Celle"]),
    ("deleted_in_target", True, "target_wins"): ([], []),
    ("deleted_in_both", False, "manual"): ([], []),
    ("extra", False, "manual"): (["Jena"], ["Jena"]),
}
LEFT_OPEN = [
    ("target_changed", False, "source_to_target"),
    ("both_changed", False, "source_to_target"),
    ("both_changed", False, "bidirectional"),
    ("deleted_in_source", True, "source_to_target"),
    ("deleted_in_source", True, "bidirectional"),
    ("deleted_in_target", False, "source_to_target"),
    ("deleted_in_target", True, "bidirectional"),
    ("extra", False, "source_to_target"),
]


def synced(records, kind, is_contested, **fields):
    records.make(Kind(kind), 1, is_contested=is_contested)
    job = records.job(**fields)
    return job, sync(job)


def assert_done(records, job, run, expected) -> None:
    assert run.outcome == "completed"
    assert (list(records.in_source().values()), records.in_target()) == expected
    [record] = DifferentialRecord.objects.all()
    assert (record.state, record.resolving_run) == ("resolved", run), record.outcome
    assert record.differential.resolved
    assert run.counts["applied"] == run.counts["checked"] == 1
    assert run.counts["still_different"] == 0
    [change] = AppliedChange.objects.all()
    assert (change.run, change.record_id) == (run, record.pk)
    # And a second run right after changes nothing.
    again = sync(job)
    assert again.outcome == "completed"
    assert not again.counts.get("applied")
    assert DifferentialRecord.objects.count() == 1
    assert AppliedChange.objects.count() == 1


@one_engine
@pytest.mark.parametrize(("kind", "is_contested", "rule"), ONE_WAY)
def test_one_way(records, kind, is_contested, rule) -> None:
    job, run = synced(records, kind, is_contested, conflict_resolution=rule)
    assert_done(records, job, run, ONE_WAY[kind, is_contested, rule])


@both_engines
@pytest.mark.parametrize(("kind", "is_contested", "rule"), BOTH_WAYS)
def test_both_ways(records, kind, is_contested, rule) -> None:
    job, run = synced(
        records, kind, is_contested, conflict_resolution=rule, sync_direction="bidirectional"
    )
    assert_done(records, job, run, BOTH_WAYS[kind, is_contested, rule])


@one_engine
@pytest.mark.parametrize(("kind", "is_contested", "direction"), LEFT_OPEN)
def test_what_needs_a_person_stays_open_and_untouched(
    records, kind, is_contested, direction
) -> None:
    records.make(Kind(kind), 1, is_contested=is_contested)
    before = (records.in_source(), records.in_target())
    job = records.job(conflict_resolution="manual", sync_direction=direction)
    run = sync(job)
    assert run.outcome == "completed"
    [record] = DifferentialRecord.objects.all()
    assert (record.state, record.strategy, record.resolving_run) == ("open", "", None)
    assert (record.differential.kind, record.differential.resolved) == (kind, False)
    assert (records.in_source(), records.in_target()) == before
    assert not AppliedChange.objects.exists()


@both_engines
@pytest.mark.parametrize("rule", ["manual", "source_wins", "target_wins"])
@pytest.mark.parametrize("direction", ["source_to_target", "bidirectional"])
def test_same_edit_on_both_sides_is_no_conflict(records, rule, direction) -> None:
    records.make(Kind.BOTH_CHANGED, 1)
    records.target(1).update(name="Celle")
    before = LegacyIdMapping.objects.get()
    job = records.job(conflict_resolution=rule, sync_direction=direction)
    run = sync(job)
    [record] = DifferentialRecord.objects.all()
    assert record.state == "resolved"
    assert "alike already" in record.outcome
    assert run.counts["converged"] == 1
    mapping = LegacyIdMapping.objects.get()
    assert mapping.checksum != before.checksum
    assert "Celle" in mapping.last_synced
    assert not AppliedChange.objects.exists()
    assert records.found(job) == []


@one_engine
def test_many_kinds_at_once_in_small_segments(records) -> None:
    kinds = [
        Kind.MISSING,
        Kind.SOURCE_CHANGED,
        Kind.TARGET_CHANGED,
        Kind.BOTH_CHANGED,
        Kind.DELETED_IN_SOURCE,
        Kind.DELETED_IN_TARGET,
        Kind.DELETED_IN_BOTH,
        Kind.EXTRA,
    ]
    for number in range(3):
        for key, kind in enumerate(kinds, 1):
            records.make(kind, 10 * number + key)
    job = records.job(
        sync_direction="bidirectional",
        conflict_resolution="source_wins",
        max_records_per_batch=4,
    )
    run = sync(job)
    assert run.outcome == "completed", job.error_message
    assert DifferentialRecord.objects.exclude(state="resolved").count() == 0
    assert records.found(job) == []
    assert sorted(records.in_source().values()) == records.in_target()


@both_engines
def test_rows_that_point_to_others_come_after_them(dispatch, records) -> None:
    dispatch.add_offices(1)
    dispatch.add_profiles(5, office=1)
    job = records.job(entities_to_sync=["profiles", "offices"])
    assert sync(job).counts["applied"] == 2
    dispatch.legacy("DELETE FROM dispatch_profile")
    dispatch.remove(1)
    run = sync(job)
    assert (run.outcome, run.counts["delete_target"]) == ("completed", 2)
    assert not LegacyIdMapping.objects.exists()
