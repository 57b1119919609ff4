from __future__ import annotations

import datetime as dt

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F

from migrationsync.models import LegacyIdMapping, QuarantinedRow
from tests.factories.sync import MappingFactory, QuarantinedRowFactory
from tests.migrationsync.models.refusing import (
    assert_accepted,
    assert_database_refuses,
    assert_refused,
    problems,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def mapping():
    mapping = MappingFactory()
    mapping.refresh_from_db()
    return mapping


@pytest.mark.parametrize("key", ["legacy_id", "uuid_id"])
def test_mapping_is_unique_both_ways_within_its_entity(mapping, key) -> None:
    same = {key: getattr(mapping, key)}
    constraint = {"legacy_id": "legacy_once", "uuid_id": "uuid_once"}[key]
    other = MappingFactory.build(**same)
    assert any("already exists" in each for each in problems(other)["__all__"])
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        MappingFactory(**same)
    MappingFactory(entity_type="profiles", **same)


@pytest.mark.parametrize("field", ["checksum", "target_checksum"])
def test_mapping_has_both_checksums(mapping, field) -> None:
    assert_database_refuses(mapping, "legacy_id_mappings_has_checksums", **{field: ""})
    setattr(mapping, field, "")
    assert field in problems(mapping)


def test_checksum_may_say_that_the_row_was_accepted_as_gone(mapping) -> None:
    assert_accepted(mapping, checksum=LegacyIdMapping.GONE, target_checksum=LegacyIdMapping.GONE)


def test_mapping_is_not_of_the_future(mapping) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [now] = cursor.fetchone()
    assert_refused(
        mapping,
        "A mapping can't be from the future.",
        "legacy_id_mappings_not_of_the_future",
        migration_timestamp=now + dt.timedelta(hours=1),
    )


def test_mapping_is_of_the_moment_it_was_made(mapping) -> None:
    assert mapping.migration_timestamp is not None
    assert LegacyIdMapping.objects.update(migration_timestamp=F("migration_timestamp")) == 1


def test_status_is_one_of_the_originals(mapping) -> None:
    assert mapping.validation_status == "pending"
    mapping.validation_status = "unknown"
    assert list(problems(mapping)) == ["validation_status"]


def test_row_is_in_quarantine_once(mapping) -> None:
    row = QuarantinedRowFactory()
    with pytest.raises(IntegrityError, match="migration_quarantine_once"), transaction.atomic():
        QuarantinedRowFactory(legacy_id=row.legacy_id)
    QuarantinedRowFactory(legacy_id=row.legacy_id, entity_type="profiles")
    assert QuarantinedRow.objects.count() == 2
