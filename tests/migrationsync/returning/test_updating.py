from __future__ import annotations

import datetime as dt
import json
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from migrationsync.comparing import Differential, explain
from migrationsync.converters import Text
from migrationsync.dispatch.legacy.tables import PROFILE
from migrationsync.dispatch.models import Office, Profile
from migrationsync.entities import Column, Entity, entities
from migrationsync.models import LegacyIdMapping
from migrationsync.returning import give_back, give_back_forced, updating
from migrationsync.source import SourceUnreachable, writing
from tests.factories.sync import MappingFactory
from tests.migrationsync.comparing.offices import ENTITY, NOON, found

NAMES = ("name", "city", "phone", "rent", "active", "modified")


@pytest.fixture
def given(offices):
    """Gives back these legacy rows' target rows."""

    def given(*keys, way=give_back, entity=ENTITY):
        return way(entity, offices.source, offices.table, uuids(*keys))

    return given


def uuids(*keys):
    mapped = LegacyIdMapping.objects.filter(entity_type="offices")
    by_key = dict(mapped.values_list("legacy_id", "uuid_id"))
    return [by_key[key] for key in keys]


def test_only_what_the_target_changed_is_written(offices, ledger, given) -> None:
    offices.add(1, name="  Bremen ")
    offices.add(2)
    offices.migrate(1, 2)
    before = ledger.rows("dispatch_office", *NAMES)
    offices.target(1).update(city="Celle", is_active=False)
    [answer] = given(1)
    after = ledger.rows("dispatch_office", *NAMES)
    name, _, phone, rent, _, modified = before[1]
    assert after == {1: [name, "Celle", phone, rent, "N", modified], 2: before[2]}
    assert name == "  Bremen "
    assert (answer.problem, answer.legacy_id, answer.is_written) == ("", 1, True)
    assert (answer.before["city"], answer.after["city"]) == (None, "Celle")
    json.dumps([answer.before, answer.after])


def test_what_could_not_go_back_is_no_matter_where_it_did_not_change(
    offices, ledger, given
) -> None:
    entity = Entity(
        name="offices",
        source="dispatch_office",
        target=Office,
        script="x",
        columns={**ENTITY.columns, "name": Column(converter=Text(max_length=3, cut=True))},
    )
    offices.add_both(1)
    offices.target(1).update(name="Bre", city="Celle")
    assert given(1, entity=entity, way=give_back_forced)[0].problem == ""
    assert ledger.rows("dispatch_office", "name", "city") == {1: ["Bremen", "Celle"]}
    offices.target(1).update(name="Bra")
    assert "what was left out" in given(1, entity=entity, way=give_back_forced)[0].problem


def test_a_second_time_writes_nothing_and_nothing_differs(offices, ledger, given) -> None:
    offices.add_both(1, 2)
    offices.target(1).update(
        city="Celle",
        phone="+49511123",
        monthly_rent="99.90",
        opened_on=dt.date(2021, 1, 1),
        updated_at=dt.datetime(2024, 6, 1, 8, 30, 1, 500_000, tzinfo=dt.UTC),
    )
    answers = given(1, 2)
    assert [each.is_written for each in answers] == [True, False]
    ledger.settle(ENTITY, answers)
    assert found(Differential(ENTITY, offices.source)) == []
    again = given(1, 2)
    assert [each.is_written for each in again] == [False, False]
    assert [each.checksum for each in again] == [each.checksum for each in answers]
    # But for the half second, for which the source has no room.
    assert explain(ENTITY, offices.source, offices.table, 1).differing in ((), ("updated_at",))


def test_crash_before_the_mapping_was_stored_is_repeated_without_harm(offices, given) -> None:
    offices.add_both(1)
    offices.target(1).update(city="Celle")
    first, second = given(1)[0], given(1)[0]
    assert (second.problem, second.checksum) == ("", first.checksum)
    assert not second.is_written


def test_source_that_changed_too_is_stale_and_stays(offices, ledger, given) -> None:
    offices.add_both(1)
    offices.target(1).update(city="Celle")
    offices.change(1, column="rent", to="900")
    [answer] = given(1)
    assert "changed in the source" in answer.problem
    assert answer.checksum is None
    assert ledger.rows("dispatch_office", "city") == {1: None}


def test_forced_writes_over_what_the_source_changed(offices, ledger, given) -> None:
    offices.add_both(1)
    offices.target(1).update(city="Celle")
    offices.change(1, column="rent", to="900")
    [answer] = given(1, way=give_back_forced)
    assert answer.problem == ""
    [[city, rent]] = ledger.rows("dispatch_office", "city", "rent").values()
    assert (city, float(rent)) == ("Celle", 812.5)


def test_change_between_reading_and_writing_is_stale(offices, ledger, given, monkeypatch) -> None:
    offices.add_both(1)
    offices.target(1).update(city="Celle")
    real = updating.to_write

    def meanwhile(*arguments):
        ledger.from_elsewhere("UPDATE dispatch_office SET city = 'Jena' WHERE id = 1")
        return real(*arguments)

    if offices.source.vendor != "sqlite":
        monkeypatch.setattr(updating, "to_write", meanwhile)
        [answer] = given(1, way=give_back_forced)
        assert "changed in the source" in answer.problem
        assert ledger.rows("dispatch_office", "city") == {1: "Jena"}


def test_source_whose_rows_somebody_holds_is_busy(offices, ledger, given, monkeypatch) -> None:
    offices.add_both(1)
    offices.target(1).update(city="Celle")
    monkeypatch.setattr(writing, "LOCK_SECONDS", 1)
    if offices.source.vendor == "sqlite":
        ledger.run("PRAGMA busy_timeout = 100")
    is_busy = pytest.raises(SourceUnreachable, match="dispatch_office is busy")
    with ledger.holding("UPDATE dispatch_office SET city = 'x'"), is_busy:
        given(1)
    assert given(1)[0].problem == ""
    assert ledger.rows("dispatch_office", "city") == {1: "Celle"}


def test_row_that_cannot_go_back_says_why_and_stops_no_other(offices, ledger, given) -> None:
    offices.add_both(1, 2, 3)
    offices.target(1).update(phone="ask", city=" Celle")
    offices.target(3).update(city="Celle")
    refused, same, written = given(1, 2, 3)
    assert "phone: 'ask' can't be written back" in refused.problem
    assert "city: ' Celle' can't be written back" in refused.problem
    assert (same.problem, written.problem) == ("", "")
    assert ledger.rows("dispatch_office", "city") == {1: None, 2: None, 3: "Celle"}


def test_row_that_the_source_refuses_stops_no_other(offices, ledger, given) -> None:
    ledger.run("CREATE UNIQUE INDEX one_city ON dispatch_office (city)")
    offices.add_both(1, 2, 3)
    offices.change(3, column="city", to="Celle")
    for key in (1, 2):
        offices.target(key).update(city=("Celle", "Jena")[key - 1])
    refused, written = given(1, 2)
    assert "is refused by the source" in refused.problem
    assert written.problem == ""
    assert ledger.rows("dispatch_office", "city") == {1: None, 2: "Jena", 3: "Celle"}


TRIGGERS = {
    "postgresql": (
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN NEW.city = upper(NEW.city); RETURN NEW; END'",
        "CREATE TRIGGER shouts BEFORE UPDATE ON dispatch_office FOR EACH ROW "
        "EXECUTE FUNCTION shout()",
    ),
    "mysql": (
        "CREATE TRIGGER shouts BEFORE UPDATE ON dispatch_office FOR EACH ROW "
        "SET NEW.city = upper(NEW.city)",
    ),
    "sqlite": (
        "CREATE TRIGGER shouts AFTER UPDATE OF city ON dispatch_office BEGIN "
        "UPDATE dispatch_office SET city = upper(city) WHERE id = NEW.id AND city <> upper(city); "
        "END",
    ),
}


def test_source_that_has_its_own_view_keeps_what_it_had(offices, ledger, given) -> None:
    offices.add_both(1)
    for statement in TRIGGERS[offices.source.vendor]:
        ledger.run(statement)
    offices.target(1).update(city="Celle")
    [answer] = given(1)
    assert "doesn't keep what is written to city" in answer.problem
    assert ledger.rows("dispatch_office", "city") == {1: None}
    if offices.source.vendor == "postgresql":
        ledger.run("DROP FUNCTION shout CASCADE")


@pytest.mark.parametrize("lost", ["target", "source", "mark"])
def test_row_that_one_side_lacks_is_refused(offices, given, lost) -> None:
    offices.add_both(1)
    offices.target(1).update(city="Celle")
    asked = uuids(1)
    if lost == "target":
        offices.target(1).delete()
    elif lost == "source":
        offices.remove(1)
    else:
        offices.change(1, column="deleted", to="2024-06-01 00:00:00")
    [answer] = give_back(ENTITY, offices.source, offices.table, asked)
    assert ("target" if lost == "target" else "no row in the source") in answer.problem


def test_row_that_was_never_mapped_is_refused(offices) -> None:
    office = Office.objects.create(name="Jena", created_at=NOON, updated_at=NOON)
    [answer] = give_back(ENTITY, offices.source, offices.table, [office.pk])
    assert answer.problem == "has no row in the source"


def test_answers_come_in_the_order_that_was_asked(offices, given, monkeypatch) -> None:
    monkeypatch.setattr("migrationsync.returning.rows.CHUNK", 2)
    offices.add_both(1, 2, 3)
    assert [each.legacy_id for each in given(3, 1, 2)] == [3, 1, 2]


# --- what the target has no field for ---------------------------------------------------


@pytest.mark.parametrize("zone", ["Europe/Berlin", None])
def test_time_of_the_change_is_set_where_no_field_says_it(offices, ledger, given, zone) -> None:
    names = ["name", "city", *(["created_at"] if zone else [])]
    entity = Entity(
        name="offices",
        source="dispatch_office",
        target=Office,
        script="x",
        changed_at="modified",
        columns={name: ENTITY.columns[name] for name in names},
    )
    offices.add_both(1)
    offices.target(1).update(city="Celle")
    begun = timezone.now().astimezone(ZoneInfo(zone or "UTC")).replace(microsecond=0, tzinfo=None)
    [answer] = given(1, entity=entity, way=give_back_forced)
    assert answer.problem == ""
    [modified] = ledger.rows("dispatch_office", "modified").values()
    since = dt.datetime.fromisoformat(str(modified)) - begun
    assert dt.timedelta(0) <= since < dt.timedelta(minutes=30)


# --- foreign keys -----------------------------------------------------------------------


@pytest.fixture
def profile(offices, ledger):
    """Profile 5 of office 1, on both sides; office 2 is there too."""
    offices.add_both(1, 2)
    ledger.run(PROFILE.create(offices.source.vendor))
    ledger.run(
        "INSERT INTO dispatch_profile (id, office_id, full_name, role_code, created, modified) "
        "VALUES (5, 1, 'Ada', 2, '2024-05-02 12:00:00', '2024-05-02 12:00:00')"
    )
    profile = Profile.objects.create(
        office=offices.target(1).get(), name="Ada", role="nurse", created_at=NOON, updated_at=NOON
    )
    MappingFactory(entity_type="profiles", legacy_id=5, uuid_id=profile.pk)
    return profile


def back(offices, profile):
    profiles = entities.get("profiles")
    table = offices.source.table("dispatch_profile")
    [answer] = give_back_forced(profiles, offices.source, table, [profile.pk])
    return answer


def test_foreign_key_goes_back_as_the_legacy_key(offices, ledger, profile) -> None:
    profile.office = offices.target(2).get()
    profile.role = "clerk"
    profile.preferences = {"lang": "tr"}
    profile.save()
    assert back(offices, profile).problem == ""
    [row] = ledger.rows("dispatch_profile", "office_id", "role_code", "prefs").values()
    assert row == [2, 3, '{"lang": "tr"}']


@pytest.mark.parametrize("is_reserved", [True, False])
def test_parent_without_a_legacy_row_is_a_reason(offices, ledger, profile, is_reserved) -> None:
    profile.office = Office.objects.create(name="Jena", created_at=NOON, updated_at=NOON)
    profile.save()
    if is_reserved:
        MappingFactory(uuid_id=profile.office_id, legacy_id=77, checksum=LegacyIdMapping.GONE)
    answer = back(offices, profile)
    assert (
        answer.problem == f"office_id: {profile.office_id} of offices has no row in the source yet"
    )
    assert ledger.rows("dispatch_profile", "office_id") == {5: 1}
