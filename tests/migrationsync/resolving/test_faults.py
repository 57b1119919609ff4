"""What goes wrong in the middle: somebody edits, a process dies, a step comes twice."""

from __future__ import annotations

import pytest

from migrationsync.differences import Kind
from migrationsync.dispatch.models import Office
from migrationsync.models import (
    AppliedChange,
    DifferentialRecord,
    LegacyIdMapping,
    MigrationCheckpoint,
    QuarantinedRow,
    SourceWrite,
)
from migrationsync.resolving import gathering
from migrationsync.services import running
from migrationsync.services.decisions import resolve, undo
from migrationsync.works.check import CheckRecords
from migrationsync.works.delete import DeleteRecords
from migrationsync.works.resolve import ResolveRecords
from migrationsync.works.sync import SyncEntity
from operations import control
from operations.models import Event
from tests.migrationsync.resolving.records import both_engines, one_engine
from tests.migrationsync.syncing import begin, sync, sync_to_end


class Died(BaseException):
    """A process that is no more."""


def edit_before_the_step(monkeypatch, work, edit) -> None:
    """`edit` comes between what was read and what is written, once."""
    write, is_done = work.write, []

    def edited(self, *args):
        if not is_done:
            is_done.append(True)
            edit()
        return write(self, *args)

    monkeypatch.setattr(work, "write", edited)


def die_before_the_step(monkeypatch, work) -> None:
    def dying(*args):
        raise Died

    monkeypatch.setattr(work, "write", dying)


def revive(monkeypatch, job) -> None:
    """What was killed is found after its lease."""
    monkeypatch.undo()
    MigrationCheckpoint.objects.filter(sync_job=job).update(lease_until=None, lease_token=None)


# --- edits in between ----------------------------------------------------------------


@one_engine
@pytest.mark.parametrize(
    ("kind", "is_contested", "rule"),
    [
        ("source_changed", False, "manual"),
        ("target_changed", False, "source_wins"),
        ("target_changed", False, "target_wins"),
        ("both_changed", False, "source_wins"),
    ],
)
def test_target_that_was_edited_in_between_is_not_overwritten(
    records, monkeypatch, kind, is_contested, rule
) -> None:
    records.make(Kind(kind), 1, is_contested=is_contested)
    mapping = LegacyIdMapping.objects.values().get()
    job = records.job(conflict_resolution=rule)
    edit_before_the_step(monkeypatch, SyncEntity, lambda: Office.objects.update(name="Emden"))
    run = sync(job)
    assert run.outcome == "completed"
    assert records.in_target() == ["Emden"]
    assert LegacyIdMapping.objects.values().get() == mapping
    record = DifferentialRecord.objects.get()
    assert record.state == "failed"
    assert "changed while" in record.outcome
    assert not record.differential.resolved
    assert run.counts["changed_meanwhile"] == 1
    assert not AppliedChange.objects.exists()
    # The next run sees it as it is.
    assert sync(job).outcome == "completed"
    expected = {"source_wins": records.in_source()[1], "target_wins": "Emden", "manual": "Emden"}
    assert records.in_target() == [expected[rule]]


@one_engine
def test_row_that_was_edited_before_its_delete_stays(records, monkeypatch) -> None:
    records.make(Kind.DELETED_IN_SOURCE, 1)
    job = records.job()
    # Behind the look at the budget.
    read = DeleteRecords.read

    def edited(self, *args):
        found = read(self, *args)
        Office.objects.update(name="Emden")
        return found

    monkeypatch.setattr(DeleteRecords, "read", edited)
    sync(job)
    assert records.in_target() == ["Emden"]
    assert DifferentialRecord.objects.get().state == "failed"


@one_engine
def test_row_that_is_loaded_by_somebody_else_in_between_is_left_alone(records, monkeypatch) -> None:
    records.make(Kind.MISSING, 1)
    job = records.job()
    edit_before_the_step(monkeypatch, SyncEntity, lambda: records.migrate(1))
    assert sync(job).outcome == "completed"
    assert records.in_target() == ["Bremen"]
    assert DifferentialRecord.objects.get().state == "failed"
    assert sync(job).counts.get("applied") is None


@both_engines
def test_target_that_was_edited_after_it_was_returned_is_returned_again(
    records, monkeypatch
) -> None:
    records.make(Kind.TARGET_CHANGED, 1)
    job = records.job(sync_direction="bidirectional")
    edit_before_the_step(monkeypatch, SyncEntity, lambda: Office.objects.update(name="Emden"))
    sync(job)
    assert (list(records.in_source().values()), records.in_target()) == (["Hamburg"], ["Emden"])
    sync(job)
    assert (list(records.in_source().values()), records.in_target()) == (["Emden"], ["Emden"])
    assert records.found(job) == []


# --- processes that die ----------------------------------------------------------------


@both_engines
@pytest.mark.parametrize(
    ("kind", "is_contested", "rule", "state"),
    [
        ("target_changed", False, "manual", "resolved"),
        ("both_changed", False, "target_wins", "resolved"),
        ("extra", False, "manual", "resolved"),
        ("deleted_in_source", True, "target_wins", "resolved"),
        ("source_changed", False, "manual", "resolved"),
    ],
)
def test_crash_between_the_source_and_the_target_loses_nothing_and_repeats_nothing(
    records, monkeypatch, kind, is_contested, rule, state
) -> None:
    records.make(Kind(kind), 1, is_contested=is_contested)
    job = records.job(sync_direction="bidirectional", conflict_resolution=rule)
    begin(job)
    die_before_the_step(monkeypatch, SyncEntity)
    with pytest.raises(Died):
        sync_to_end(job)
    revive(monkeypatch, job)
    sync_to_end(job)
    job.refresh_from_db()
    assert job.latest_run.outcome == "completed", job.error_message
    assert set(DifferentialRecord.objects.values_list("state", flat=True)) <= {state}
    assert list(records.in_source().values()) == records.in_target() != []
    assert records.found(job) == []
    assert LegacyIdMapping.objects.count() == 1
    assert not SourceWrite.objects.exists()
    change = AppliedChange.objects.get()
    assert change.side == ("target" if kind == "source_changed" else "source")
    # What is undone is found again.
    undo(change, by=None)
    assert records.found(job) != []


@both_engines
@pytest.mark.parametrize("is_decided", [True, False], ids=["resolve", "sync"])
def test_crash_behind_the_reserved_key_gives_the_row_that_key(
    records, monkeypatch, is_decided
) -> None:
    """The key is committed on our side, and the source's transaction never ends."""
    records.make(Kind.EXTRA, 1)
    job = records.job(sync_direction="bidirectional", conflict_resolution="source_wins")
    if is_decided:
        sync(job, "compare")
        resolve(DifferentialRecord.objects.all(), "target_wins", by=None)
    else:
        begin(job)
    reserve = gathering._reserve

    def dying(*args):
        reserve(*args)
        raise Died

    monkeypatch.setattr(gathering, "_reserve", dying)
    with pytest.raises(Died):
        sync_to_end(job)
    assert records.in_source() == {}
    reserved = LegacyIdMapping.objects.get()
    revive(monkeypatch, job)
    sync_to_end(job)
    if not is_decided:
        # The segment of its new key was passed already.
        assert records.in_target() == ["Jena"]
        sync(job)
    assert records.in_source() == {reserved.legacy_id: "Jena"}
    assert set(DifferentialRecord.objects.values_list("state", flat=True)) == {"resolved"}
    assert records.found(job) == []
    assert LegacyIdMapping.objects.get().uuid_id == reserved.uuid_id


@both_engines
def test_crash_between_the_deletes_of_the_two_sides_ends_with_both_gone(
    records, monkeypatch
) -> None:
    records.make(Kind.DELETED_IN_TARGET, 1)
    job = records.job(sync_direction="bidirectional")
    begin(job)
    die = []
    write = DeleteRecords.write

    def dying(self, checkpoint, size, batch):
        if isinstance(batch, tuple):
            die.append(True)
            raise Died
        return write(self, checkpoint, size, batch)

    monkeypatch.setattr(DeleteRecords, "write", dying)
    with pytest.raises(Died):
        sync_to_end(job)
    assert die
    assert records.in_source() == {}
    revive(monkeypatch, job)
    sync_to_end(job)
    assert DifferentialRecord.objects.get().state == "resolved"
    assert not LegacyIdMapping.objects.exists()
    assert records.found(job) == []
    change = AppliedChange.objects.get(side="source")
    assert change.action == "delete_source"
    undo(change, by=None)
    assert records.in_source() != {}


@one_engine
def test_step_that_comes_twice_resolves_once(records, monkeypatch) -> None:
    for key in (1, 2):
        records.make(Kind.BOTH_CHANGED, key)
    job = records.job()
    sync(job, "compare")
    resolve(DifferentialRecord.objects.all(), "source_wins", by=None)
    checkpoint = MigrationCheckpoint.objects.get(name="ResolveRecords")
    die_before_the_step(monkeypatch, ResolveRecords)
    with pytest.raises(Died):
        sync_to_end(job)
    revive(monkeypatch, job)
    sync_to_end(job)
    checkpoint.refresh_from_db()
    assert checkpoint.counts["applied"] == AppliedChange.objects.count() == 2
    assert records.in_target() == ["Celle", "Celle"]


# --- the budget --------------------------------------------------------------------------


def over_budget(records, **fields):
    for key in range(1, 4):
        records.make(Kind.DELETED_IN_SOURCE, key)
    records.make(Kind.SOURCE_CHANGED, 4)
    job = records.job(**{"max_deletes": 2, **fields})
    begin(job)
    sync_to_end(job)
    return job


@one_engine
def test_run_over_the_budget_stops_and_asks_before_its_first_delete(records) -> None:
    job = over_budget(records)
    run = job.latest_run
    assert (job.status, run.outcome) == ("paused", "")
    assert run.question == {
        "deletes": 3,
        "entities": {"offices": {"deletes": 3, "records": 4}},
    }
    # What is no delete was done.
    assert records.in_target() == ["Bremen", "Bremen", "Bremen", "Celle"]
    told = [each.payload.get("message", "") for each in Event.objects.filter(name="sync.feedback")]
    assert "It would delete 3 of 4 offices" in told[-1]
    running.approve_deletes(job, by=None)
    sync_to_end(job)
    run.refresh_from_db()
    assert (run.outcome, run.approved_deletes, run.counts["delete_target"]) == ("completed", 3, 3)
    assert records.in_target() == ["Celle"]


@one_engine
def test_run_over_the_budget_may_be_cancelled_and_deletes_nothing(records) -> None:
    from migrationsync.kind import SYNC

    job = over_budget(records)
    control.request_cancel(SYNC, job)
    job.refresh_from_db()
    assert (job.status, job.latest_run.outcome) == ("cancelled", "cancelled")
    assert len(records.in_target()) == 4


@one_engine
def test_share_of_an_entity_counts_as_well(records) -> None:
    job = over_budget(records, max_deletes=100, max_deleted_percent=50)
    assert job.latest_run.question["deletes"] == 3


@one_engine
def test_run_within_the_budget_asks_nothing(records) -> None:
    job = over_budget(records, max_deletes=3)
    assert (job.latest_run.outcome, job.latest_run.question) == ("completed", None)


@one_engine
def test_source_deletes_count_as_well(records) -> None:
    for key in (1, 2):
        records.make(Kind.DELETED_IN_TARGET, key)
    job = records.job(max_deletes=1, sync_direction="bidirectional")
    begin(job)
    sync_to_end(job)
    assert job.latest_run.question["deletes"] == 2
    assert len(records.in_source()) == 2


# --- refusals ------------------------------------------------------------------------------


@one_engine
def test_rows_that_cannot_go_cost_nobody_else_theirs(dispatch, records) -> None:
    dispatch.add_offices(*range(1, 6))
    for key in (1, 3):
        dispatch.add_profiles(key, office=key)
    job = records.job(entities_to_sync=["offices", "profiles"])
    sync(job)
    dispatch.remove(*range(1, 6))
    run = sync(job, entities=["offices"])
    refused = DifferentialRecord.objects.filter(state="failed")
    assert set(refused.values_list("legacy_id", flat=True)) == {1, 3}
    assert all("“" in record.outcome and "profiles" in record.outcome for record in refused)
    assert (run.counts["delete_target"], run.counts["refused"]) == (3, 2)
    assert Office.objects.count() == LegacyIdMapping.objects.filter(entity_type="offices").count()
    assert Office.objects.count() == 2


@one_engine
def test_row_that_the_target_refuses_is_in_quarantine_and_says_why(records) -> None:
    records.dispatch.add_offices(1, 2)
    records.dispatch.change(1, column="active", to="?")
    run = sync(records.job())
    good, bad = DifferentialRecord.objects.order_by("-legacy_id")
    assert (good.state, bad.state) == ("resolved", "failed")
    assert "quarantine" in bad.outcome
    assert "active" in bad.outcome
    assert QuarantinedRow.objects.get().legacy_id == 1
    assert run.counts["refused"] == 1


@both_engines
def test_row_that_the_source_refuses_says_why_and_stays_a_difference(records) -> None:
    """In the source a name is only one office's."""
    records.make(Kind.TARGET_CHANGED, 1)
    unique = "CREATE UNIQUE INDEX one_name ON dispatch_office (name)"
    records.dispatch.add_offices(2, name="Hamburg")
    records.migrate(2)
    records.dispatch.legacy(unique)
    job = records.job(sync_direction="bidirectional")
    before = records.in_source()
    run = sync(job)
    record = DifferentialRecord.objects.get()
    assert record.state == "failed"
    assert "The source wasn't changed: is refused by the source" in record.outcome
    assert (run.counts["refused"], records.in_source()) == (1, before)
    assert records.found(job) == [("target_changed", 1)]


@one_engine
def test_what_differs_again_when_it_is_checked_was_not_resolved(records, monkeypatch) -> None:
    records.make(Kind.SOURCE_CHANGED, 1)
    records.make(Kind.SOURCE_CHANGED, 2)
    job = records.job()
    read = CheckRecords.read

    def edited(self, *args):
        records.dispatch.change(1, to="Emden")
        return read(self, *args)

    monkeypatch.setattr(CheckRecords, "read", edited)
    run = sync(job)
    assert (run.counts["checked"], run.counts["still_different"]) == (2, 1)
    differs, fine = DifferentialRecord.objects.order_by("legacy_id")
    assert (differs.state, fine.state) == ("failed", "resolved")
    assert "changed in the source" in differs.outcome
    assert not differs.differential.resolved


@one_engine
def test_rows_that_weigh_too_much_are_taken_fewer_at_once(records, monkeypatch) -> None:
    monkeypatch.setattr(gathering, "MAX_BYTES", 300)
    for key in range(1, 9):
        records.make(Kind.MISSING, key)
    job = records.job()
    run = sync(job)
    assert (run.outcome, run.counts["applied"]) == ("completed", 8)
    for key in range(1, 9):
        records.target(key).update(name="Hamburg")
    sync(job, "compare")
    resolve(DifferentialRecord.objects.filter(state="open"), "source_wins", by=None)
    sync_to_end(job)
    assert records.in_target() == ["Bremen"] * 8


@both_engines
def test_only_what_the_source_says_has_changed_is_looked_at_by_time(records) -> None:
    records.make(Kind.SOURCE_CHANGED, 1)
    records.make(Kind.SOURCE_CHANGED, 2)
    records.dispatch.change(2, column="modified", to="2025-01-01 12:00:00")
    run = sync(records.job(), options={"since": "2024-12-01T00:00:00Z"})
    assert run.counts["applied"] == 1
    assert records.in_target() == ["Bremen", "Celle"]
