from __future__ import annotations

import datetime as dt
import math

import pytest
from django.db import connection
from django.utils import timezone

from migrationsync import lookup
from migrationsync.entities import entities
from migrationsync.validating import Performance
from migrationsync.validating.performance import LOOKUPS, Thresholds, judged
from tests.factories.sync import CheckpointFactory, MappingFactory

pytestmark = pytest.mark.django_db

ENTITY = entities.get("offices")
NOTHING_IS_TOO_SLOW = Thresholds(
    rows_per_second=0, rows_at_least=0, lookup_ms=math.inf, index_from=0, hit_rate=0
)
EVERYTHING_IS_TOO_SLOW = Thresholds(rows_per_second=math.inf, lookup_ms=-1, hit_rate=math.inf)


def looked(**thresholds):
    validation = Performance(ENTITY, None, None)
    validation.thresholds = Thresholds(**thresholds)
    return validation.look(validation.read(None, 100))


def make_checkpoint(*, step="load", records=20_000, seconds=10.0, ago=1, **fields):
    started_at = timezone.now() - dt.timedelta(hours=ago)
    return CheckpointFactory(
        **{
            "operation_type": "differential_migration",
            "stage": f"{step}-offices",
            "status": "completed",
            "records_processed": records,
            "records_total": records,
            "started_at": started_at,
            "completed_at": started_at + dt.timedelta(seconds=seconds),
            **fields,
        }
    )


def make_mappings(number):
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO legacy_id_mappings (id, entity_type, legacy_id, uuid_id, migration_batch,"
            " validation_status, source_table, target_table, checksum, target_checksum, metadata)"
            " SELECT gen_random_uuid(), 'offices', n * 3, gen_random_uuid(), 'b', 'pending', 's',"
            " 't', 'x', 'x', '{}' FROM generate_series(1, %s) AS n",
            [number],
        )
        cursor.execute("ANALYZE legacy_id_mappings")


def test_rate_is_that_of_the_last_load_or_sync() -> None:
    make_checkpoint(ago=5, seconds=1)
    make_checkpoint(ago=3, step="sync", records=30_000, operation_type="sync_operation")
    assert looked().measured["rows_per_second"] == 3_000


@pytest.mark.parametrize(
    "fields",
    [
        {"records": 9_999},
        {"step": "compare"},
        {"entity_type": "profiles", "stage": "load-profiles"},
        {"status": "failed", "error_message": "x", "completed_at": None},
        {"operation_type": "validation", "step": "validate"},
    ],
    ids=["few rows", "compare", "another entity", "failed", "validation"],
)
def test_what_says_nothing_of_the_rate_is_left_out(fields) -> None:
    make_checkpoint(**fields)
    assert looked().measured["rows_per_second"] is None


def test_what_was_never_measured_is_not_judged() -> None:
    found = looked(rows_per_second=math.inf)
    assert (found.records, found.wrong) == (0, [])
    assert found.measured == {"rows_per_second": None}


def test_look_ups_are_measured_all_over_the_mapping() -> None:
    make_mappings(1_000)
    MappingFactory(entity_type="profiles")
    validation = Performance(ENTITY, None, None)
    sample = validation._sample()
    assert len(sample) == LOOKUPS
    assert (sample[0], sample[-1]) == (3, 3_000)
    found = looked()
    assert found.records == LOOKUPS
    assert found.measured["lookup_ms"] > 0
    assert "lookup_by_index" in found.measured


@pytest.mark.parametrize("ids", [[5], [-(2**63), 2**63 - 1], [1, 2, 3]])
def test_sample_of_few_has_each_once(ids) -> None:
    for legacy_id in ids:
        MappingFactory(legacy_id=legacy_id)
    assert Performance(ENTITY, None, None)._sample() == ids


def test_index_is_used_where_there_are_many() -> None:
    make_mappings(2_000)
    assert looked(index_from=2_000).measured["lookup_by_index"] is True
    assert looked(index_from=2_001).measured["lookup_by_index"] is None


def test_index_that_is_gone_is_told() -> None:
    make_mappings(100)
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE legacy_id_mappings DROP CONSTRAINT legacy_id_mappings_legacy_once"
        )
    found = looked(index_from=1, lookup_ms=math.inf)
    assert [each.what for each in found.wrong] == [
        "a look-up in the mapping doesn't use its index legacy_id_mappings_legacy_once"
    ]


def test_hit_rate_is_judged_once_enough_was_asked(monkeypatch) -> None:
    figures = {"hits": 250, "misses": 750, "hit_rate": 0.25, "size": 9, "capacity": 9}
    monkeypatch.setattr(lookup, "statistics", lambda: figures)
    assert [each.what for each in looked().wrong] == [
        "the cache of the mapping had 25% of what was asked: less than 50%"
    ]
    assert "hit_rate" not in looked(hit_rate_from=1_001).measured


def test_limits_that_nothing_keeps_are_all_told_and_those_of_all_none() -> None:
    measured = {"rows_per_second": 900.0, "lookup_ms": 0.2, "lookup_by_index": True, "hit_rate": 1}
    assert judged(measured, NOTHING_IS_TOO_SLOW) == []
    assert len(judged(measured, EVERYTHING_IS_TOO_SLOW)) == 3
    assert judged(measured, Thresholds()) == [
        "the last load or sync made 900 rows/s: less than 1,000"
    ]
    assert judged({}, EVERYTHING_IS_TOO_SLOW) == []


def test_discrepancies_say_what_is_too_slow() -> None:
    make_checkpoint(seconds=40)
    [found] = looked().wrong
    assert (found.what, found.count) == (
        "the last load or sync made 500 rows/s: less than 1,000",
        1,
    )
    assert looked(rows_per_second=0).wrong == []
