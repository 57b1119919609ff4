from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from migrationsync.comparing import Differential
from migrationsync.dispatch.legacy.tables import OFFICE, PROFILE
from migrationsync.dispatch.models import Office, Profile
from migrationsync.entities import entities
from migrationsync.models import LegacyIdMapping
from migrationsync.returning import insert_back
from tests.factories.sync import MappingFactory
from tests.migrationsync.comparing.offices import ENTITY, NOON, found

# A key that the source gives itself.
OWN_KEYS = {
    "postgresql": "integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    "mysql": "integer NOT NULL AUTO_INCREMENT PRIMARY KEY",
    "sqlite": "integer NOT NULL PRIMARY KEY",
}


class Crash(Exception):
    pass


@pytest.fixture
def inserted(offices, ledger):
    def inserted(*rows, reserve=None, entity=ENTITY):
        table = offices.source.table(entity.source)
        return insert_back(
            entity,
            offices.source,
            table,
            [row.pk for row in rows],
            reserve=reserve or ledger.reserve(entity),
        )

    return inserted


@pytest.fixture
def own_keys(offices, ledger):
    """The source's table gives keys itself."""
    ledger.run("DROP TABLE dispatch_office")
    ledger.run(
        OFFICE.create(offices.source.vendor).replace(
            "integer NOT NULL PRIMARY KEY", OWN_KEYS[offices.source.vendor]
        )
    )


def office(name="Jena"):
    return Office.objects.create(name=name, created_at=NOON, updated_at=NOON)


def test_new_row_comes_behind_all_that_were_ever_mapped(offices, ledger, inserted) -> None:
    offices.add_both(1, 2)
    MappingFactory(legacy_id=9)
    rows = [office("Jena"), office("Köln")]
    answers = inserted(*rows)
    assert [each.legacy_id for each in answers] == [10, 11]
    assert ledger.rows("dispatch_office", "name") == {
        1: "Bremen",
        2: "Bremen",
        10: "Jena",
        11: "Köln",
    }
    assert answers[0].before is None
    assert answers[0].after["name"] == "Jena"
    LegacyIdMapping.objects.filter(legacy_id=9).delete()
    ledger.settle(ENTITY, answers)
    assert found(Differential(ENTITY, offices.source)) == []


def test_keys_are_known_here_before_they_are_committed_there(offices, ledger, inserted) -> None:
    seen = []

    def reserve(pairs):
        seen.extend(pairs)
        # SQLite's file is locked for others while somebody writes.
        if offices.source.vendor != "sqlite":
            assert ledger.from_elsewhere("SELECT id FROM dispatch_office") in ((), [])

    row = office()
    inserted(row, reserve=reserve)
    assert seen == [(row.pk, 1)]


def test_crash_after_the_source_committed_makes_no_second_row(ledger, inserted) -> None:
    row = office()
    [first] = inserted(row)
    [again] = inserted(row)
    assert (again.legacy_id, again.checksum, again.problem) == (1, first.checksum, "")
    assert ledger.rows("dispatch_office", "name") == {1: "Jena"}


def test_crash_before_the_source_committed_uses_the_same_key(ledger, inserted) -> None:
    row = office()

    def reserve(pairs):
        ledger.reserve(ENTITY)(pairs)
        raise Crash

    with pytest.raises(Crash):
        inserted(row, reserve=reserve)
    assert ledger.rows("dispatch_office", "name") == {}
    other = office("Köln")
    answers = inserted(row, other)
    assert [each.legacy_id for each in answers] == [1, 2]
    assert ledger.rows("dispatch_office", "name") == {1: "Jena", 2: "Köln"}


def test_reserved_key_that_another_row_took_is_left_alone(offices, ledger, inserted) -> None:
    row = office()
    MappingFactory(uuid_id=row.pk, legacy_id=5, checksum=LegacyIdMapping.GONE)
    offices.add(5)
    [answer] = inserted(row)
    assert "another row of the key 5" in answer.problem
    assert ledger.rows("dispatch_office", "name") == {5: "Bremen"}


def test_source_gives_its_own_keys(ledger, inserted, own_keys) -> None:
    rows = [office("Jena"), office("Köln")]
    answers = inserted(*rows)
    names = ledger.rows("dispatch_office", "name")
    assert [names[each.legacy_id] for each in answers] == ["Jena", "Köln"]
    assert inserted(*rows)[0].checksum == answers[0].checksum
    assert len(ledger.rows("dispatch_office", "name")) == 2


def test_key_of_the_source_survives_a_crash(ledger, inserted, own_keys) -> None:
    row = office()

    def reserve(pairs):
        ledger.reserve(ENTITY)(pairs)
        raise Crash

    with pytest.raises(Crash):
        inserted(row, reserve=reserve)
    [answer] = inserted(row)
    assert answer.problem == ""
    assert LegacyIdMapping.objects.get().legacy_id == answer.legacy_id
    assert ledger.rows("dispatch_office", "name") == {answer.legacy_id: "Jena"}


def test_two_at_once_make_one_row(ledger, inserted, own_keys) -> None:
    row = office()

    def reserve(pairs):
        # The other one was here first.
        ledger.reserve(ENTITY)([(row.pk, 77)])
        ledger.reserve(ENTITY)(pairs)

    with pytest.raises(IntegrityError), transaction.atomic():
        inserted(row, reserve=reserve)
    assert ledger.rows("dispatch_office", "name") == {}


def test_key_of_the_source_that_was_another_records_is_refused(
    offices, ledger, inserted, own_keys
) -> None:
    MappingFactory(legacy_id=1)
    [answer] = inserted(office())
    if offices.source.vendor == "sqlite":
        # Here the key is ours to choose.
        assert answer.legacy_id == 2
    else:
        assert "the key 1, which was another record's" in answer.problem
        assert ledger.rows("dispatch_office", "name") == {}


def test_row_that_the_source_refuses_leaves_nothing_and_stops_no_other(ledger, inserted) -> None:
    ledger.run("CREATE UNIQUE INDEX one_name ON dispatch_office (name)")
    rows = [office("Jena"), office("Jena"), office("Köln")]
    first, refused, last = inserted(*rows)
    assert "is refused by the source" in refused.problem
    assert (first.problem, last.problem) == ("", "")
    assert sorted(ledger.rows("dispatch_office", "name").values()) == ["Jena", "Köln"]
    assert not LegacyIdMapping.objects.filter(uuid_id=rows[1].pk).exists()


def test_row_that_is_marked_as_deleted_is_brought_back(offices, ledger, inserted) -> None:
    offices.add_both(1)
    offices.change(1, column="deleted", to="2024-06-01 00:00:00")
    offices.target(1).update(city="Celle")
    [answer] = inserted(offices.target(1).get())
    assert (answer.problem, answer.legacy_id) == ("", 1)
    assert answer.before["deleted"] is not None
    assert ledger.rows("dispatch_office", "city", "deleted") == {1: ["Celle", None]}


def test_row_that_is_gone_from_the_source_gets_its_key_again(offices, ledger, inserted) -> None:
    offices.add_both(1)
    offices.remove(1)
    [answer] = inserted(offices.target(1).get())
    assert (answer.problem, answer.legacy_id) == ("", 1)
    assert ledger.rows("dispatch_office", "name") == {1: "Bremen"}


def test_child_goes_after_its_parent(offices, ledger, inserted) -> None:
    ledger.run(PROFILE.create(offices.source.vendor))
    profiles = entities.get("profiles")
    parent = office()
    child = Profile.objects.create(
        office=parent, name="Ada", role="nurse", created_at=NOON, updated_at=NOON
    )
    [early] = inserted(child, entity=profiles)
    assert "has no row in the source yet" in early.problem
    assert not LegacyIdMapping.objects.exists()
    ledger.settle(ENTITY, inserted(parent))
    [answer] = inserted(child, entity=profiles)
    assert answer.problem == ""
    assert ledger.rows("dispatch_profile", "office_id") == {1: 1}


def test_sequence_behind_the_keys_that_are_there_is_named(
    offices, ledger, own_keys, inserted
) -> None:
    if offices.source.vendor != "postgresql":
        # The others look at the rows themselves.
        return
    ledger.run(
        "INSERT INTO dispatch_office (id, name, active, created, modified) OVERRIDING SYSTEM VALUE "
        "VALUES (1, 'Bremen', 'Y', '2024-01-01', '2024-01-01')"
    )
    [answer] = inserted(office())
    assert "duplicate key" in answer.problem
    assert "set its sequence behind the greatest key" in answer.problem
    assert ledger.rows("dispatch_office", "name") == {1: "Bremen"}
