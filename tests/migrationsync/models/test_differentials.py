from __future__ import annotations

import uuid

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from migrationsync.differences import COMPARISON_TYPES, Kind
from migrationsync.models import DataDifferential, DifferentialRecord
from migrationsync.models.differentials import Strategy
from migrationsync.resolving import rules
from tests.factories.sync import DifferentialFactory
from tests.migrationsync.models.refusing import assert_accepted, assert_refused, problems

pytestmark = pytest.mark.django_db


@pytest.fixture
def differential():
    return DifferentialFactory(legacy_ids=[1, 2, str(uuid.uuid4())])


@pytest.mark.parametrize("count", [0, 2, 4])
def test_count_is_of_the_ids(differential, count) -> None:
    assert_refused(
        differential,
        "The record count must be the number of legacy ids.",
        "data_differentials_count_is_of_ids",
        record_count=count,
    )


def test_count_follows_the_ids(differential) -> None:
    assert_accepted(differential, legacy_ids=[1], record_count=1)


def test_resolved_one_has_its_time(differential) -> None:
    assert_refused(
        differential,
        "A resolved differential needs the time it was resolved.",
        "data_differentials_resolved_has_time",
        resolved=True,
    )


def test_resolved_one_with_its_time_is_kept(differential) -> None:
    assert_accepted(differential, resolved=True, resolved_at=timezone.now())


@pytest.mark.parametrize("kind", Kind)
def test_comparison_type_is_that_of_the_kind(kind) -> None:
    for comparison_type in set(COMPARISON_TYPES.values()):
        differential = DifferentialFactory.build(kind=kind, comparison_type=comparison_type)
        told = problems(differential).get("comparison_type")
        label = DataDifferential.DifferenceKind(kind).label
        if comparison_type == COMPARISON_TYPES[kind]:
            assert told is None
        else:
            assert told == [f"Records “{label}” are {COMPARISON_TYPES[kind]}."]


@pytest.mark.parametrize("field", ["comparison_type", "kind", "resolution_strategy"])
def test_choices_are_the_originals(differential, field) -> None:
    setattr(differential, field, "other")
    assert field in problems(differential)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_strategy_is_one_that_there_is_for_the_kind(kind) -> None:
    row = DifferentialFactory(kind=kind, comparison_type=COMPARISON_TYPES[kind])
    for strategy in Strategy:
        if strategy in (*rules.allowed(kind), Strategy.MANUAL_REVIEW):
            assert_accepted(row, resolution_strategy=strategy)
        else:
            assert_refused(
                row,
                "A row that the target never had can't win there.",
                "data_differentials_winner_has_a_row",
                resolution_strategy=strategy,
            )
            row.refresh_from_db()


def test_every_kind_has_its_choice() -> None:
    assert set(DataDifferential.DifferenceKind.values) == {kind.value for kind in Kind}


# --- records ------------------------------------------------------------------------


def test_record_has_a_key(differential) -> None:
    record = differential.records.filter(uuid=None).first()
    assert record.key == record.legacy_id
    with (
        pytest.raises(IntegrityError, match="differential_records_has_a_key"),
        transaction.atomic(),
    ):
        DifferentialRecord.objects.filter(pk=record.pk).update(legacy_id=None)
    record.legacy_id, record.uuid = None, uuid.uuid4()
    record.save()
    assert record.key == record.uuid


@pytest.mark.parametrize("state", ["resolved", "skipped", "failed"])
def test_record_that_is_decided_has_its_time(differential, state) -> None:
    records = DifferentialRecord.objects.filter(differential=differential)
    with (
        pytest.raises(IntegrityError, match="differential_records_decided_has_time"),
        transaction.atomic(),
    ):
        records.update(state=state)
    assert records.update(state=state, decided_at=timezone.now()) == 3


def test_records_go_with_their_differential(differential) -> None:
    differential.delete()
    assert not DifferentialRecord.objects.exists()
