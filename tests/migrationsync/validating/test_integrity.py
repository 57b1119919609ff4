from __future__ import annotations

import datetime as dt
from contextlib import closing

import pytest
from django.db import connection
from django.utils import timezone

from migrationsync.comparing import Kind
from migrationsync.dispatch.models import Office
from migrationsync.models import LegacyIdMapping
from migrationsync.validating import DataIntegrity
from migrationsync.validating.integrity import KINDS
from tests.migrationsync.comparing.offices import NOON
from tests.migrationsync.validating.walking import walked, wrong

BEFORE = timezone.now() - dt.timedelta(days=1)


@pytest.fixture(autouse=True)
def _loaded_yesterday(offices, monkeypatch):
    """Else the rows would be of the test's own transaction, which is 'after the look began'."""
    migrate = offices.migrate

    def migrated(*keys):
        migrate(*keys)
        LegacyIdMapping.objects.update(migration_timestamp=BEFORE)

    monkeypatch.setattr(offices, "migrate", migrated)


def statuses():
    return dict(
        LegacyIdMapping.objects.order_by("legacy_id").values_list("legacy_id", "validation_status")
    )


def versions():
    with connection.cursor() as cursor:
        cursor.execute("SELECT legacy_id, ctid::text FROM legacy_id_mappings")
        return dict(cursor.fetchall())


def test_kinds_are_those_of_migrated_records() -> None:
    assert {*KINDS, Kind.MISSING, Kind.QUARANTINED, Kind.EXTRA} == set(Kind)


@pytest.mark.parametrize("size", [1, 2, 50])
def test_each_kind_is_told_and_marked_in_segments_of_any_size(offices, size) -> None:
    offices.add_both(*range(1, 10))
    offices.change(2, 4)
    offices.target(3, 4).update(name="Hamburg")
    offices.remove(5, 7)
    offices.target(6, 7).delete()
    offices.add(20, 21)
    offices.quarantine(21)
    Office.objects.create(name="Jena", created_at=NOON, updated_at=NOON)
    tally = walked(DataIntegrity, offices, size=size)
    assert wrong(tally) == {
        "changed in the source": [2],
        "changed in the target": [3],
        "changed in both": [4],
        "deleted in the source": [5],
        "deleted in the target": [6],
        "deleted in both": [7],
    }
    assert (tally.records, tally.figures) == (9, {"statuses_changed": 9})
    assert statuses() == {key: "error" if 2 <= key <= 7 else "validated" for key in range(1, 10)}


def test_record_that_is_right_again_is_validated(offices) -> None:
    offices.add_both(1)
    offices.change(1)
    walked(DataIntegrity, offices)
    assert statuses() == {1: "error"}
    offices.change(1, to="Bremen")
    assert walked(DataIntegrity, offices).wrong == {}
    assert statuses() == {1: "validated"}


def test_row_whose_status_is_right_is_not_written(offices) -> None:
    offices.add_both(1, 2, 3)
    offices.change(2)
    walked(DataIntegrity, offices)
    before = versions()
    offices.change(3)
    tally = walked(DataIntegrity, offices)
    after = versions()
    assert {key for key in after if after[key] != before[key]} == {3}
    assert tally.figures == {"statuses_changed": 1}


def test_record_that_was_loaded_since_it_was_read_is_left_to_the_next_validation(offices) -> None:
    offices.add_both(1, 2)
    validation = DataIntegrity(offices.entity, offices.source, offices.table)
    with closing(validation):
        read = validation.read(None, 10)
    LegacyIdMapping.objects.filter(legacy_id=2).update(
        migration_timestamp=read.began_at + dt.timedelta(microseconds=1)
    )
    validation.look(read)
    assert statuses() == {1: "validated", 2: "pending"}


def test_other_entities_are_left_out(offices) -> None:
    offices.add_both(1, 2)
    LegacyIdMapping.objects.filter(legacy_id=2).update(entity_type="profiles")
    assert walked(DataIntegrity, offices).records == 1
    assert statuses() == {1: "validated", 2: "pending"}


def test_record_with_the_key_zero_is_one(offices) -> None:
    offices.add_both(0)
    offices.change(0)
    assert wrong(walked(DataIntegrity, offices)) == {"changed in the source": [0]}


def test_criteria_name_the_columns(offices) -> None:
    validation = DataIntegrity(offices.entity, offices.source, offices.table)
    assert validation.criteria["columns"]["monthly_rent"] == "rent"
    assert validation.criteria["compared_by"] == "checksum"
