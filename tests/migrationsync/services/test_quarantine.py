"""Trying again what couldn't be brought over."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.contrib.auth.models import User

from migrationsync.dispatch.legacy.tables import PROFILE
from migrationsync.dispatch.models import Profile
from migrationsync.exceptions import CannotRun
from migrationsync.models import QuarantinedRow
from migrationsync.services import quarantine
from migrationsync.source import SchemaDrift
from tests.factories.sync import QuarantinedRowFactory
from tests.migrationsync.syncing import sync

ROWS = QuarantinedRow.objects.all()


@pytest.fixture
def refused(dispatch):
    """Profiles 1 and 2 have a role that isn't known, 3 an office that isn't there."""
    dispatch.add_offices(1)
    dispatch.add_profiles(1, 2, role=9)
    dispatch.add_profiles(3, office=7)
    sync(dispatch.job(max_failed_percent=Decimal(100)), "load")
    return dispatch


def test_retry_brings_over_what_was_mended_and_keeps_the_rest(refused):
    refused.change(1, table=PROFILE, column="role_code", to=1)
    refused.remove(2, table=PROFILE)

    loaded = quarantine.retry(ROWS.all(), by=User.objects.create_user("ada"))

    assert (loaded.inserted, loaded.quarantined) == (1, 1)
    assert Profile.objects.count() == 1
    left = ROWS.get(resolved_at=None)
    assert (left.legacy_id, left.attempts) == (3, 2)
    assert left.migration_batch.startswith("by ada ")


def test_retry_tries_a_row_behind_the_one_it_points_to(dispatch):
    dispatch.add_offices(7)
    dispatch.add_profiles(3, office=7)
    alias = dispatch.source.alias
    QuarantinedRowFactory(entity_type="profiles", legacy_id=3, source_alias=alias)
    QuarantinedRowFactory(entity_type="offices", legacy_id=7, source_alias=alias)

    loaded = quarantine.retry(ROWS.all(), by=None)

    assert (loaded.inserted, loaded.quarantined) == (2, 0)


def test_retry_of_nothing_or_too_much_is_refused(refused, monkeypatch):
    with pytest.raises(CannotRun, match="None of these"):
        quarantine.retry(ROWS.filter(legacy_id=99), by=None)
    monkeypatch.setattr(quarantine, "MAX_AT_ONCE", 2)
    with pytest.raises(CannotRun, match="At most 2 rows"):
        quarantine.retry(ROWS.all(), by=None)


def test_retry_from_a_database_that_isnt_set_is_refused_in_words(refused):
    ROWS.filter(legacy_id=3).update(source_alias="gone")

    with pytest.raises(CannotRun, match="“gone”, which isn't in the settings"):
        quarantine.retry(ROWS.filter(legacy_id=3), by=None)


def test_retry_from_a_source_that_isnt_as_declared_is_refused_in_words(refused):
    refused.legacy(f"ALTER TABLE {PROFILE.name} DROP COLUMN prefs")

    with pytest.raises(SchemaDrift, match="prefs is gone"):
        quarantine.retry(ROWS.all(), by=None)
