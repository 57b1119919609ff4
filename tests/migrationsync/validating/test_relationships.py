from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import replace

import pytest
from django.db import connection

from migrationsync.dispatch.legacy.tables import OFFICE, ORDER, PROFILE
from migrationsync.dispatch.models import Office, Order, Profile
from migrationsync.entities import Check, entities
from migrationsync.models import LegacyIdMapping
from migrationsync.validating import RelationshipIntegrity
from tests.factories.sync import MappingFactory
from tests.migrationsync.comparing.offices import NOON
from tests.migrationsync.validating.walking import walked, wrong

PROFILES = entities.get("profiles")
ORDERS = entities.get("orders")
CLOCK = "2024-05-02 12:00:00"


class Profiles:
    """Profiles of offices, on both sides; of the offices there is the target's side only."""

    def __init__(self, source, legacy):
        self.source, self.legacy, self.entity = source, legacy, PROFILES
        legacy(PROFILE.create(source.vendor))

    def add(self, key, office):
        self.legacy(
            "INSERT INTO dispatch_profile (id, office_id, full_name, role_code, created, modified)"
            " VALUES (%s, %s, 'Ada', 2, %s, %s)",
            [key, office, CLOCK, CLOCK],
        )

    def migrate(self, key, office):
        profile = Profile.objects.create(
            office=office, name="Ada", role="nurse", created_at=NOON, updated_at=NOON
        )
        return MappingFactory(
            entity_type="profiles", legacy_id=key, uuid_id=profile.pk, target_table="profiles"
        )

    def add_both(self, key, number):
        self.add(key, number)
        return self.migrate(key, office_of(number))

    def target(self, key):
        mapped = LegacyIdMapping.objects.filter(entity_type="profiles", legacy_id=key)
        return Profile.objects.filter(pk__in=mapped.values("uuid_id"))


def make_office():
    return Office.objects.create(name="Bremen", created_at=NOON, updated_at=NOON)


def office_of(number):
    """The office of this legacy key, made and mapped when it isn't there."""
    mapping = LegacyIdMapping.objects.filter(entity_type="offices", legacy_id=number).first()
    if mapping is None:
        mapping = MappingFactory(legacy_id=number, uuid_id=make_office().pk)
    return Office.objects.get(pk=mapping.uuid_id)


@pytest.fixture
def profiles(db, source, run):
    return Profiles(source, run)


@pytest.fixture
def unguarded(db):
    """Without the database's own foreign key, as a team's table may be."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'profiles'::regclass"
            " AND contype = 'f'"
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f'ALTER TABLE profiles DROP CONSTRAINT "{name}"')


@pytest.mark.parametrize("size", [1, 2, 50])
def test_foreign_keys_that_are_right_have_no_discrepancy(profiles, size) -> None:
    for key in range(1, 6):
        profiles.add_both(key, key % 2 + 1)
    tally = walked(RelationshipIntegrity, profiles, size=size)
    assert (tally.records, tally.wrong) == (5, {})


def test_nothing_on_either_side_is_right(profiles) -> None:
    tally = walked(RelationshipIntegrity, profiles)
    assert (tally.records, tally.wrong) == (0, {})


@pytest.mark.parametrize("size", [1, 2, 50])
def test_what_points_elsewhere_is_told(profiles, size) -> None:
    for key in (1, 2, 3):
        profiles.add_both(key, 1)
    profiles.target(2).update(office=office_of(2))
    assert wrong(walked(RelationshipIntegrity, profiles, size=size)) == {
        "office doesn't point where the source's office_id does": [2]
    }


def test_what_the_source_pointed_elsewhere_is_told(profiles) -> None:
    profiles.add_both(1, 1)
    office_of(2)
    profiles.legacy("UPDATE dispatch_profile SET office_id = 2")
    assert wrong(walked(RelationshipIntegrity, profiles)) == {
        "office doesn't point where the source's office_id does": [1]
    }


def test_what_points_to_a_row_that_is_gone_is_told(profiles, unguarded) -> None:
    profiles.add_both(1, 1)
    profiles.add_both(2, 2)
    profiles.target(1).update(office=uuid.uuid4())
    Office.objects.filter(pk=office_of(2).pk)._raw_delete("default")
    assert wrong(walked(RelationshipIntegrity, profiles)) == {
        "office points to a row that isn't there": [1, 2]
    }


def test_what_points_to_a_gone_row_is_told_of_rows_gone_from_the_source(
    profiles, unguarded
) -> None:
    for key in (1, 2):
        profiles.add_both(key, 1)
        profiles.target(key).update(office=uuid.uuid4())
    profiles.legacy("DELETE FROM dispatch_profile WHERE id = 1")
    profiles.legacy(f"UPDATE dispatch_profile SET deleted = '{CLOCK}' WHERE id = 2")
    assert wrong(walked(RelationshipIntegrity, profiles)) == {
        "office points to a row that isn't there": [1, 2]
    }


def test_parent_that_was_not_migrated_is_told(profiles) -> None:
    profiles.add(1, 7)
    profiles.migrate(1, office_of(1))
    assert wrong(walked(RelationshipIntegrity, profiles)) == {
        "office: the source's office_id is of offices that weren't migrated": [1]
    }


def test_parent_that_is_from_no_legacy_row_is_told(profiles) -> None:
    profiles.add_both(1, 1)
    profiles.target(1).update(office=make_office())
    assert wrong(walked(RelationshipIntegrity, profiles)) == {
        "office points to offices that are from no row of the source": [1]
    }


def test_key_that_the_target_lacks_is_told(profiles) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE profiles ALTER office_id DROP NOT NULL")
    profiles.add_both(1, 1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE profiles SET office_id = NULL")
    assert wrong(walked(RelationshipIntegrity, profiles)) == {
        "office doesn't point where the source's office_id does": [1]
    }


@pytest.mark.parametrize("source", ["sqlite"], indirect=True)
@pytest.mark.parametrize("office", ["x", "99999999999999999999"])
def test_key_that_cannot_be_read_is_told(profiles, office) -> None:
    profiles.add(1, office)
    profiles.migrate(1, office_of(1))
    assert wrong(walked(RelationshipIntegrity, profiles)) == {
        "office can't be held against the source: office_id isn't a key there": [1]
    }


def test_mapping_without_its_row_is_told_unless_that_was_accepted(profiles) -> None:
    profiles.add_both(1, 1)
    profiles.add_both(2, 1)
    Profile.objects.all().delete()
    LegacyIdMapping.objects.filter(entity_type="profiles", legacy_id=2).update(
        target_checksum=LegacyIdMapping.GONE
    )
    tally = walked(RelationshipIntegrity, profiles)
    assert wrong(tally) == {"mapped, but the row is gone from the target": [1]}
    assert tally.records == 2


def test_legacy_row_that_is_gone_is_not_held_against_the_target(profiles) -> None:
    profiles.add_both(1, 1)
    profiles.target(1).update(office=office_of(2))
    profiles.legacy("DELETE FROM dispatch_profile")
    assert wrong(walked(RelationshipIntegrity, profiles)) == {}


def test_rows_that_were_not_migrated_are_not_looked_at(profiles) -> None:
    profiles.add(1, 1)
    assert walked(RelationshipIntegrity, profiles).records == 0


# --- checks -----------------------------------------------------------------------


class Orders:
    def __init__(self, source, legacy):
        self.source, self.entity = source, ORDERS
        legacy(ORDER.create(source.vendor))

    def add(self, key, placed, shipped):
        order = Order(
            patient_id=uuid.uuid4(),
            number="A",
            status="new",
            total=1,
            placed_at=placed,
            shipped_at=shipped,
            created_at=NOON,
            updated_at=NOON,
        )
        order.save()
        MappingFactory(entity_type="orders", legacy_id=key, uuid_id=order.pk)


@pytest.fixture
def orders(db, source, run):
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE orders DISABLE TRIGGER ALL")
    return Orders(source, run)


@pytest.mark.parametrize("source", ["sqlite"], indirect=True)
def test_row_that_does_not_keep_a_check_is_told(orders) -> None:
    later = NOON + dt.timedelta(days=1)
    for key, (placed, shipped) in enumerate([(NOON, later), (later, NOON), (NOON, None)]):
        orders.add(key, placed, shipped)
    found = wrong(walked(RelationshipIntegrity, orders, size=2))
    assert found["it isn't true that it was placed before it was shipped"] == [1]


@pytest.mark.parametrize("source", ["sqlite"], indirect=True)
def test_check_sees_fields_as_columns_and_foreign_keys_as_legacy_keys(profiles) -> None:
    profiles.add_both(1, 1)
    profiles.add_both(2, 2)
    sql = "office < 2 AND name LIKE '%da' AND role = 'nurse'"
    entity = replace(PROFILES, checks=[Check("is of the first", lambda row: True, sql)])
    assert wrong(walked(RelationshipIntegrity, profiles, entity=entity)) == {
        "it isn't true that it is of the first": [2]
    }
    python_only = replace(PROFILES, checks=[Check("is of the first", lambda row: False)])
    assert wrong(walked(RelationshipIntegrity, profiles, entity=python_only)) == {}


@pytest.mark.parametrize("source", ["sqlite"], indirect=True)
def test_entity_without_foreign_keys_has_its_rows_looked_at(db, source, run) -> None:
    run(OFFICE.create(source.vendor))

    class Offices:
        entity = entities.get("offices")

    Offices.source = source
    office_of(1)
    MappingFactory(legacy_id=2)
    assert wrong(walked(RelationshipIntegrity, Offices)) == {
        "mapped, but the row is gone from the target": [2]
    }


def test_criteria_name_foreign_keys_and_checks(orders) -> None:
    table = orders.source.table("dispatch_order")
    assert RelationshipIntegrity(ORDERS, orders.source, table).criteria == {
        "foreign_keys": {"patient": {"entity": "patients", "column": "patient_id"}},
        "checks": ["was placed before it was shipped"],
    }
