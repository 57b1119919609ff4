from __future__ import annotations

import json

import pytest

from migrationsync.dispatch.models import Office
from migrationsync.models import LegacyIdMapping
from migrationsync.returning import delete_back, give_back, insert_back, restore
from tests.migrationsync.comparing.offices import ENTITY, NOON
from tests.migrationsync.returning.test_deleting import Authors

NAMES = ("name", "city", "rent", "active", "opened", "modified", "deleted")


def stored(row):
    """As it comes back from an AppliedChange."""
    return json.loads(json.dumps(row))


@pytest.fixture
def undone(offices):
    def undone(answer, entity=ENTITY, table=None):
        return restore(
            entity,
            offices.source,
            table or offices.table,
            answer.legacy_id,
            before=stored(answer.before),
            after=stored(answer.after),
        )

    return undone


@pytest.mark.parametrize("change", ["update", "mark"])
def test_row_is_as_it_was_before(offices, ledger, undone, change) -> None:
    offices.add_both(1)
    before = ledger.rows("dispatch_office", *NAMES)
    checksum = LegacyIdMapping.objects.get().checksum
    if change == "update":
        offices.target(1).update(city="Celle", monthly_rent="1.5", is_active=False, opened_on=None)
        uuids = [offices.target(1).get().pk]
        [answer] = give_back(ENTITY, offices.source, offices.table, uuids)
    else:
        [answer] = delete_back(ENTITY, offices.source, offices.table, [1])
    assert ledger.rows("dispatch_office", *NAMES) != before
    back = undone(answer)
    assert (back.problem, back.checksum) == ("", checksum)
    assert ledger.rows("dispatch_office", *NAMES) == before
    assert (undone(answer).problem, undone(answer).is_written) == ("", False)


def test_new_row_is_taken_away_again(offices, ledger, undone) -> None:
    office = Office.objects.create(name="Jena", created_at=NOON, updated_at=NOON)
    [answer] = insert_back(
        ENTITY, offices.source, offices.table, [office.pk], reserve=ledger.reserve(ENTITY)
    )
    back = undone(answer)
    assert (back.problem, back.checksum) == ("", LegacyIdMapping.GONE)
    assert ledger.rows("dispatch_office", "name") == {}


def test_deleted_row_comes_back(offices, ledger, undone) -> None:
    shelf = Authors(ledger, "")
    checksum = LegacyIdMapping.objects.get(entity_type="authors", legacy_id=1).checksum
    [answer] = shelf.delete(1)
    back = undone(answer, shelf.entity, shelf.table)
    assert (back.problem, back.checksum) == ("", checksum)
    assert ledger.rows("author", "name")[1] == "Ada"


def test_row_that_changed_since_stays(offices, ledger, undone) -> None:
    offices.add_both(1)
    offices.target(1).update(city="Celle")
    uuids = [offices.target(1).get().pk]
    [answer] = give_back(ENTITY, offices.source, offices.table, uuids)
    offices.change(1, column="city", to="Jena")
    assert "changed in the source" in undone(answer).problem
    assert ledger.rows("dispatch_office", "city") == {1: "Jena"}
