from __future__ import annotations

import decimal

import pytest

from migrationsync.comparing import explain
from migrationsync.dispatch.legacy.tables import PROFILE
from migrationsync.dispatch.models import Office, Profile
from migrationsync.entities import entities
from migrationsync.loading import load_batch
from migrationsync.models import LegacyIdMapping
from tests.migrationsync.comparing.offices import ENTITY, NOON


def test_differing_fields_are_named(offices) -> None:
    offices.add_both(1)
    offices.change(1, column="rent", to="900")
    offices.target(1).update(city="Celle")
    record = explain(ENTITY, offices.source, offices.table, 1)
    assert record.differing == ("city", "monthly_rent")
    assert record.legacy["monthly_rent"] == decimal.Decimal("900.00")
    assert record.current["city"] == "Celle"
    assert record.uuid == offices.target(1).get().pk
    assert (record.last_synced, record.problems) == (None, ())


def test_only_what_is_written_otherwise_does_not_differ(offices) -> None:
    offices.add_both(1)
    offices.change(1, column="name", to=" Bremen  ")
    assert explain(ENTITY, offices.source, offices.table, 1).differing == ()


def test_what_was_last_synced_is_shown_where_it_was_kept(offices) -> None:
    offices.add(1)
    load_batch(ENTITY, offices.source, offices.table, size=10, batch_name="first")
    offices.change(1, column="city", to="Celle")
    offices.target(1).update(city="Delmenhorst", monthly_rent=None)
    record = explain(ENTITY, offices.source, offices.table, 1)
    assert {**record.current, "city": "", "monthly_rent": decimal.Decimal("812.50")} == (
        record.last_synced
    )
    assert record.legacy["city"] == "Celle"


@pytest.mark.parametrize("side", ["legacy", "current"])
def test_row_that_one_side_lacks_is_none(offices, side) -> None:
    offices.add_both(1)
    if side == "legacy":
        offices.remove(1)
    else:
        offices.target(1).delete()
    record = explain(ENTITY, offices.source, offices.table, 1)
    assert getattr(record, side) is None
    assert record.differing == ()


def test_row_that_cannot_be_converted_says_why(offices) -> None:
    offices.add(1)
    offices.change(1, column="active", to="?")
    record = explain(ENTITY, offices.source, offices.table, 1)
    assert record.legacy["active"] == "?"
    assert len(record.problems) == 1
    assert "active" in record.problems[0]


def test_foreign_keys_are_those_of_the_target(offices) -> None:
    offices.add_both(1, 2)
    profiles = entities.get("profiles")
    offices.legacy(PROFILE.create(offices.source.vendor))
    offices.legacy(
        "INSERT INTO dispatch_profile (id, office_id, full_name, role_code, prefs, created, "
        "modified) VALUES (5, 2, 'Ada', 2, '{\"b\": 1, \"a\": 2}', '2024-05-02 12:00:00', "
        "'2024-05-02 12:00:00')"
    )
    profile = Profile.objects.create(
        office=offices.target(1).get(),
        name="Ada",
        role="nurse",
        preferences={"a": 2, "b": 1},
        created_at=NOON,
        updated_at=NOON,
    )
    LegacyIdMapping.objects.create(
        entity_type="profiles",
        legacy_id=5,
        uuid_id=profile.pk,
        checksum="x",
        target_checksum="x",
    )
    table = offices.source.check([profiles])[profiles.name]
    record = explain(profiles, offices.source, table, 5)
    assert record.differing == ("office",)
    assert record.legacy["office"] == offices.target(2).get().pk
    assert record.current["office"] == offices.target(1).get().pk
    LegacyIdMapping.objects.filter(legacy_id=2).delete()
    assert explain(profiles, offices.source, table, 5).problems == (
        "office_id: 2 isn't among the migrated offices",
    )
    assert Office.objects.count() == 2
