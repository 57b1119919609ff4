"""What a comparison found, stored by sets."""

from __future__ import annotations

import uuid

import pytest

from migrationsync.comparing import Difference, Kind, results
from migrationsync.entities import entities
from migrationsync.models import DifferentialRecord
from migrationsync.models.differentials import Strategy
from migrationsync.works import recording
from tests.factories.sync import CheckpointFactory

pytestmark = pytest.mark.django_db

OFFICES = entities.get("offices")
CRITERIA = {"compared_by": "checksum", "sides": ["source", "target"], "sees_deleted": True}
UUID = uuid.UUID(int=5)


def later(checkpoint):
    """Of the same job's next run."""
    return CheckpointFactory(run__job=checkpoint.sync_job, run__number=checkpoint.run.number + 1)


def test_record_makes_a_differential_for_each_kind_and_page(monkeypatch):
    monkeypatch.setattr(results, "PAGE", 2)
    checkpoint = CheckpointFactory()
    differences = [
        Difference(Kind.MISSING, 1),
        Difference(Kind.DELETED_IN_TARGET, 2, UUID, is_contested=True),
        Difference(Kind.MISSING, 3),
        Difference(Kind.MISSING, 4),
        Difference(Kind.EXTRA, None, UUID),
    ]

    stored = recording.record(checkpoint, OFFICES, differences, CRITERIA)

    assert [(each.kind, each.legacy_ids, each.record_count) for each in stored] == [
        ("missing", [1, 3], 2),
        ("missing", [4], 1),
        ("deleted_in_target", [2], 1),
        ("extra", [str(UUID)], 1),
    ]
    for each in stored:
        each.full_clean()
    contested = stored[2].records.get()
    assert (contested.uuid, contested.is_contested) == (UUID, True)
    assert stored[2].comparison_criteria["contested"] == [2]
    assert DifferentialRecord.objects.filter(state="open", resolving_run=None).count() == 5


def test_record_with_strategies_gives_those_to_the_run_that_a_rule_decides():
    checkpoint = CheckpointFactory()
    differences = [
        Difference(Kind.BOTH_CHANGED, 1, uuid.uuid4()),
        Difference(Kind.BOTH_CHANGED, 2, uuid.uuid4()),
        Difference(Kind.SOURCE_CHANGED, 3, uuid.uuid4()),
    ]
    rule = {1: Strategy.SOURCE_WINS, 2: Strategy.MANUAL_REVIEW, 3: Strategy.SOURCE_WINS}

    both, source = recording.record(
        checkpoint, OFFICES, differences, CRITERIA, strategy=lambda each: rule[each.legacy_id]
    )

    decided, left = both.records.order_by("legacy_id")
    assert (decided.strategy, decided.resolving_run) == ("source_wins", checkpoint.run)
    assert (left.strategy, left.resolving_run) == ("", None)
    assert both.resolution_strategy == "manual_review"
    assert source.resolution_strategy == "source_wins"


def test_record_of_nothing_stores_nothing():
    assert recording.record(CheckpointFactory(), OFFICES, [], CRITERIA) == []


def test_supersede_leaves_the_runs_own_alone():
    checkpoint = CheckpointFactory(run__outcome="completed")
    recording.record(checkpoint, OFFICES, [Difference(Kind.MISSING, 1)], CRITERIA)

    assert recording.supersede(checkpoint, CRITERIA) == 0
    assert recording.supersede(later(checkpoint), CRITERIA) == 1


@pytest.mark.parametrize(
    ("older", "newer", "superseded"),
    [
        ("2026-01-02", "2026-01-01", 1),
        ("2026-01-01", "2026-01-01", 1),
        ("2026-01-01", "2026-01-02", 0),
    ],
)
def test_supersede_by_time_reaches_no_further_back_than_it_looked(older, newer, superseded):
    def criteria(day):
        return {
            "compared_by": "timestamp",
            "column": "modified",
            "since": f"{day}T00:00:00+00:00",
            "sees_deleted": False,
        }

    checkpoint = CheckpointFactory(run__outcome="completed")
    recording.record(checkpoint, OFFICES, [Difference(Kind.MISSING, 1)], criteria(older))

    assert recording.supersede(later(checkpoint), criteria(newer)) == superseded
