from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from migrationsync.differences import Kind
from migrationsync.dispatch.models import Office, Profile
from migrationsync.exceptions import CannotUndo
from migrationsync.models import (
    AppliedChange,
    DataDifferential,
    DifferentialRecord,
    LegacyIdMapping,
)
from migrationsync.services.decisions import undo
from tests.migrationsync.resolving.records import both_engines, one_engine
from tests.migrationsync.syncing import sync

# (kind, is contested, direction, rule): the action that is undone.
CHANGES = {
    ("missing", False, "source_to_target", "manual"): "load",
    ("source_changed", False, "source_to_target", "manual"): "overwrite",
    ("deleted_in_target", False, "source_to_target", "source_wins"): "recreate",
    ("deleted_in_source", False, "source_to_target", "manual"): "delete_target",
    ("both_changed", False, "source_to_target", "target_wins"): "accept",
    ("deleted_in_source", True, "source_to_target", "target_wins"): "accept",
    ("deleted_in_both", False, "source_to_target", "manual"): "forget",
    ("target_changed", False, "bidirectional", "manual"): "return",
    ("extra", False, "bidirectional", "manual"): "return_new",
    ("deleted_in_source", True, "bidirectional", "target_wins"): "return_new",
    ("deleted_in_target", False, "bidirectional", "manual"): "delete_source",
}


def everything(records):
    return (
        records.in_source(),
        list(Office.objects.order_by("pk").values()),
        list(LegacyIdMapping.objects.order_by("pk").values()),
    )


def changed(records, kind, *, is_contested=False, **fields):
    """The change that a sync made of a record, and how all was before."""
    records.make(Kind(kind), 1, is_contested=is_contested)
    before = everything(records)
    job = records.job(**fields)
    sync(job)
    return AppliedChange.objects.get(), before, job


@both_engines
@pytest.mark.parametrize(("kind", "is_contested", "direction", "rule"), CHANGES)
def test_undone_change_leaves_everything_as_it_was(
    records, django_user_model, kind, is_contested, direction, rule
) -> None:
    user = django_user_model.objects.create_user("ada")
    change, before, job = changed(
        records,
        kind,
        is_contested=is_contested,
        sync_direction=direction,
        conflict_resolution=rule,
    )
    assert change.action == CHANGES[kind, is_contested, direction, rule]
    assert everything(records) != before
    undone = undo(change, by=user)
    assert everything(records) == before
    assert undone.undone_by == user
    assert undone.undone_at is not None
    with pytest.raises(CannotUndo, match="undone already"):
        undo(change, by=user)
    # The difference is there again.
    assert [each[0] for each in records.found(job)] == [kind]


@one_engine
@pytest.mark.parametrize("kind", ["missing", "source_changed"])
def test_row_that_changed_since_is_not_undone(records, kind) -> None:
    change, _, _ = changed(records, kind)
    Office.objects.update(city="Emden")
    before = everything(records)
    with pytest.raises(CannotUndo, match="changed since"):
        undo(change, by=None)
    assert everything(records) == before


@one_engine
def test_row_that_came_back_since_is_not_undone(records) -> None:
    change, _, _ = changed(records, "deleted_in_source")
    Office.objects.create(
        id=change.uuid,
        name="Emden",
        created_at=dt.datetime.now(dt.UTC),
        updated_at=dt.datetime.now(dt.UTC),
    )
    with pytest.raises(CannotUndo, match="changed since"):
        undo(change, by=None)
    assert records.in_target() == ["Emden"]


@both_engines
def test_row_of_the_source_that_changed_since_is_not_undone(records) -> None:
    change, _, _ = changed(records, "target_changed", sync_direction="bidirectional")
    records.dispatch.change(1, to="Emden")
    with pytest.raises(CannotUndo, match="source's row"):
        undo(change, by=None)
    assert records.in_source() == {1: "Emden"}
    change.refresh_from_db()
    assert change.undone_at is None


@one_engine
def test_row_that_something_points_to_is_not_undone(dispatch, records) -> None:
    dispatch.add_offices(1)
    dispatch.add_profiles(5)
    sync(records.job(entities_to_sync=["offices", "profiles"]))
    office, profile = AppliedChange.objects.order_by("id")
    with pytest.raises(CannotUndo, match="profiles"):
        undo(office, by=None)
    undo(profile, by=None)
    undo(office, by=None)
    assert not Office.objects.exists()
    assert not Profile.objects.exists()
    assert not LegacyIdMapping.objects.exists()


@one_engine
def test_legacy_row_that_became_another_record_is_not_undone(records) -> None:
    change, _, _ = changed(records, "deleted_in_both")
    records.dispatch.add_offices(1)
    records.migrate(1)
    with pytest.raises(CannotUndo, match="migrated anew"):
        undo(change, by=None)
    assert LegacyIdMapping.objects.count() == 1


@one_engine
def test_values_come_back_exactly(dispatch, records) -> None:
    dispatch.add_offices(1, rent="1234567.89")
    records.migrate(1)
    exact = {
        "monthly_rent": Decimal("98765432.10"),
        "name": "Ü \\ \t\n“’ 😀",
        "city": "",
        "opened_on": None,
        "updated_at": dt.datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=dt.UTC),
    }
    records.target(1).update(**exact)
    sync(records.job(conflict_resolution="source_wins"))
    assert Office.objects.get().monthly_rent == Decimal("1234567.89")
    change = AppliedChange.objects.get()
    assert change.before["monthly_rent"] == "98765432.10"
    undo(change, by=None)
    office = Office.objects.get()
    assert {name: getattr(office, name) for name in exact} == exact


@one_engine
def test_change_of_an_entity_that_is_gone_is_not_undone(records) -> None:
    change, _, _ = changed(records, "missing")
    AppliedChange.objects.update(entity_type="ghosts")
    with pytest.raises(CannotUndo, match="ghosts"):
        undo(change, by=None)


@one_engine
def test_change_of_the_source_whose_job_is_gone_is_not_undone(records) -> None:
    change, _, _ = changed(records, "target_changed", sync_direction="bidirectional")
    AppliedChange.objects.update(run=None, record=None)
    change.refresh_from_db()
    with pytest.raises(CannotUndo, match="change the row there"):
        undo(change, by=None)


@one_engine
def test_record_is_open_again_once_its_change_is_undone(records) -> None:
    change, _, job = changed(records, "source_changed")
    record = change.record
    assert (record.state, record.differential.resolved) == ("resolved", True)
    undo(change, by=None)
    record = DifferentialRecord.objects.select_related("differential").get(pk=record.pk)
    assert (record.state, record.strategy, record.decided_at) == ("open", "", None)
    assert (record.differential.resolved, record.differential.resolved_at) == (False, None)
    # The next comparison finds it itself: what it passed over stays as it is.
    sync(job)
    again = AppliedChange.objects.first()
    DataDifferential.objects.filter(pk=again.record.differential_id).update(
        superseded_at=again.applied_at
    )
    undo(again, by=None)
    again.record.refresh_from_db()
    assert again.record.state == "resolved"
