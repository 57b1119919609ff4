from __future__ import annotations

import datetime as dt

import pytest

from migrationsync.checksums import source_sql
from migrationsync.comparing import Differential
from migrationsync.models import LegacyIdMapping
from migrationsync.returning import delete_back, delete_back_forced
from tests.factories.sync import MappingFactory
from tests.migrationsync.comparing.offices import ENTITY, found
from tests.migrationsync.test_entities import authors

KEYS = {"postgresql": "boolean", "mysql": "tinyint(1)", "sqlite": "boolean"}


class Authors:
    """Authors of the source, mapped; by what they are marked as deleted is in the declaration."""

    def __init__(self, ledger, deleted) -> None:
        source = self.source = ledger.source
        self.entity = authors(deleted=deleted)
        ledger.run(
            "CREATE TABLE author (id integer NOT NULL PRIMARY KEY, name varchar(20), motto "
            f"varchar(20), born date, gone {KEYS[source.vendor]})"
        )
        ledger.run("INSERT INTO author (id, name) VALUES (1, 'Ada'), (2, 'Bea'), (3, 'Cleo')")
        self.table = source.table("author")
        checksum = source_sql(self.entity, self.table, source.vendor)
        for key, stored in ledger.run(f"SELECT id, {checksum} FROM author"):
            MappingFactory(entity_type="authors", legacy_id=key, checksum=stored)

    def delete(self, *keys, way=delete_back):
        return way(self.entity, self.source, self.table, keys)


def test_row_is_marked_where_the_source_marks_them(offices, ledger) -> None:
    offices.add_both(1, 2)
    offices.target(1).delete()
    [answer] = delete_back(ENTITY, offices.source, offices.table, [1])
    assert (answer.problem, answer.checksum) == ("", LegacyIdMapping.GONE)
    assert (answer.before["deleted"], answer.before["name"]) == (None, "Bremen")
    rows = ledger.rows("dispatch_office", "deleted", "modified")
    assert rows[2][0] is None
    assert dt.datetime.fromisoformat(str(rows[1][0])) > dt.datetime(2024, 6, 1)
    assert rows[1][1] == rows[1][0]
    [again] = delete_back(ENTITY, offices.source, offices.table, [1])
    assert (again.problem, again.is_written, again.checksum) == ("", False, LegacyIdMapping.GONE)
    assert found(Differential(ENTITY, offices.source)) == [("deleted_in_both", 1)]


def test_flag_marks_a_row(ledger) -> None:
    [answer] = Authors(ledger, "gone").delete(2)
    assert answer.problem == ""
    assert {key for key, gone in ledger.rows("author", "gone").items() if gone} == {2}


def test_row_is_deleted_where_nothing_marks_it(ledger) -> None:
    shelf = Authors(ledger, "")
    answers = shelf.delete(3, 1)
    assert [each.legacy_id for each in answers] == [3, 1]
    assert answers[0].before["name"] == "Cleo"
    assert answers[0].after is None
    assert ledger.rows("author", "name") == {2: "Bea"}
    assert [each.problem for each in shelf.delete(3, 1)] == ["", ""]


@pytest.mark.parametrize("deleted", ["", "gone"])
def test_row_that_changed_in_the_source_is_stale_and_stays(ledger, deleted) -> None:
    shelf = Authors(ledger, deleted)
    ledger.run("UPDATE author SET name = 'Eva' WHERE id = 1")
    [answer] = shelf.delete(1)
    assert "changed in the source" in answer.problem
    assert answer.checksum is None
    assert len(ledger.rows("author", "name")) == 3
    [answer] = shelf.delete(1, way=delete_back_forced)
    assert answer.problem == ""


def test_row_that_others_point_to_is_refused_alone(ledger) -> None:
    shelf = Authors(ledger, "")
    ledger.run(
        "CREATE TABLE book (id integer NOT NULL PRIMARY KEY, author integer, "
        "FOREIGN KEY (author) REFERENCES author (id))"
    )
    ledger.run("INSERT INTO book VALUES (1, 1)")
    refused, done = shelf.delete(1, 2)
    assert "is refused by the source" in refused.problem
    assert "foreign key" in refused.problem.lower()
    assert done.problem == ""
    assert ledger.rows("author", "name") == {1: "Ada", 3: "Cleo"}
    ledger.run("DROP TABLE book")


def test_row_that_was_never_migrated_is_refused(ledger) -> None:
    shelf = Authors(ledger, "")
    ledger.run("INSERT INTO author (id, name) VALUES (4, 'Dora')")
    [answer] = shelf.delete(4)
    assert answer.problem == "was never migrated"
