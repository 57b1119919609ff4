"""Unique values that go from one row to another within a batch."""

from __future__ import annotations

import pytest
from django.db import connection, models

from migrationsync.entities import Column, Entity, ForeignKey
from migrationsync.identifiers import uuid7
from migrationsync.loading import load_rows
from migrationsync.models import QuarantinedRow
from tests.migrationsync.loading.tickets import Ticket, entity


class Chair(models.Model):  # noqa: DJ008 - nobody is shown one
    id = models.UUIDField(primary_key=True, default=uuid7)
    ticket = models.ForeignKey(Ticket, on_delete=models.CASCADE)
    number = models.IntegerField()

    class Meta:
        app_label = "shelf"
        unique_together = [("ticket", "number")]


CHAIRS = Entity(
    name="chairs",
    source="chair",
    target=Chair,
    script="chair-migration.ts",
    columns={"ticket": ForeignKey("tickets", "ticket_id"), "number": Column()},
)


@pytest.fixture
def three(tickets):
    tickets.add(1, 2, 3)
    assert tickets.load().inserted == 3
    return tickets


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        ("code", "T1", "T2"),
        ("seat", 1, 2),
        ("price", 1, 2),
        ("hall", 1, 2),
    ],
)
def test_values_that_two_rows_swapped_are_stored(three, column, one, other) -> None:
    before = {key: three.mapping(key).uuid_id for key in (1, 2, 3)}
    three.set(1, **{column: other})
    three.set(2, **{column: one})
    found = three.load()
    assert (found.updated, found.unchanged, found.refusals) == (2, 1, [])
    assert three.values(column) == {1: other, 2: one, 3: three.values(column)[3]}
    assert {key: three.mapping(key).uuid_id for key in (1, 2, 3)} == before
    assert three.load().unchanged == 3


def test_several_columns_that_were_swapped_at_once_are_stored(three) -> None:
    theirs = {"code": "T1", "seat": 1, "price": 1, "hall": 1}
    three.set(1, code="T2", seat=2, price=2, hall=2)
    three.set(2, **{**theirs, "code": "T3", "seat": None})
    three.set(3, code="T1")
    assert three.load().updated == 3
    assert three.values("code") == {1: "T2", 2: "T3", 3: "T1"}
    assert three.values("seat") == {1: 2, 2: None, 3: 3}


def test_chain_of_values_is_stored_at_once(three) -> None:
    three.add(4, code="T1")
    three.set(1, code="T2")
    three.set(2, code="T3")
    three.set(3, code="T9")
    found = three.load()
    assert (found.inserted, found.updated, found.refusals) == (1, 3, [])
    assert three.values("code") == {1: "T2", 2: "T3", 3: "T9", 4: "T1"}


def test_chain_that_ends_at_a_row_that_stays_is_refused_whole(three) -> None:
    Ticket.objects.create(code="ours", price=50, day="2024-01-01", hall=50)
    three.set(1, code="T2")
    three.set(2, code="T3")
    three.set(3, code="ours")
    found = three.load()
    assert (found.unchanged, found.updated) == (0, 0)
    assert three.values("code") == {1: "T1", 2: "T2", 3: "T3"}
    assert {key: each["value"] for key, (each,) in three.refused().items()} == {
        1: "'T2'",
        2: "'T3'",
        3: "'ours'",
    }
    assert {each["column"] for (each,) in three.refused().values()} == {"code"}


def test_row_refused_for_another_value_keeps_those_that_others_wait_for(three) -> None:
    """Row 2 would give its code to row 1, but wants a seat that row 3 keeps."""
    three.set(1, code="T2")
    three.set(2, code="T8", seat=3)
    found = three.load()
    assert (found.unchanged, sorted(three.refused())) == (1, [1, 2])
    assert three.values("code") == {1: "T1", 2: "T2", 3: "T3"}


def test_row_that_keeps_what_the_target_changed_gives_nothing_away(three) -> None:
    three.set(1, code="T2")
    three.set(2, code="T1")
    Ticket.objects.filter(code="T2").update(title="Ours")
    found = three.load(keeps_changes=True)
    assert (found.kept, found.unchanged, sorted(three.refused())) == (1, 1, [1])
    assert three.values("code") == {1: "T1", 2: "T2", 3: "T3"}


def test_swap_is_stored_although_the_database_refuses_a_row_between(tickets) -> None:
    tickets.add(*range(1, 9))
    tickets.load()
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE shelf_ticket ADD CONSTRAINT no_seven CHECK (hall <> 777)")
    tickets.set(1, code="T8")
    tickets.set(8, code="T1")
    tickets.set(3, hall=777)
    found = tickets.load()
    assert (found.updated, found.unchanged, sorted(tickets.refused())) == (2, 5, [3])
    assert (tickets.target(1).code, tickets.target(8).code) == ("T8", "T1")


def test_swap_across_two_batches_comes_good_when_both_are_tried_again(tickets) -> None:
    tickets.add(1, 2)
    tickets.load()
    tickets.set(1, code="T2")
    tickets.set(2, code="T1")
    for after in (0, 1):
        tickets.load(after=after, size=1)
    assert sorted(tickets.refused()) == [1, 2]
    declared = entity()
    table = tickets.source.check([declared])["tickets"]
    again = load_rows(declared, tickets.source, table, [1, 2], batch_name="again")
    assert (again.updated, again.quarantined) == (2, 0)
    assert tickets.values("code") == {1: "T2", 2: "T1"}


def test_value_that_only_some_rows_must_not_share_is_named(tickets) -> None:
    tickets.add(1, 2, 3, title="Gala")
    tickets.set(1, hall=99)
    tickets.set(2, hall=99, day="2024-05-03")
    assert tickets.load().inserted == 2
    ((key, (reason,)),) = tickets.refused().items()
    assert (key, reason["column"]) == (2, "title")
    assert "(title)=(Gala) already exists" in reason["problem"]


def test_refused_values_are_shown_as_the_source_has_them(three) -> None:
    with connection.schema_editor() as editor:
        editor.create_model(Chair)
    three.run("CREATE TABLE chair (id integer NOT NULL PRIMARY KEY, ticket_id integer, number int)")
    three.run("INSERT INTO chair VALUES (1, 2, 5), (2, 2, 5)")

    assert three.load(declared=CHAIRS).inserted == 1

    [row] = QuarantinedRow.objects.filter(entity_type="chairs")
    [reason] = row.reasons
    assert (reason["column"], reason["value"]) == ("ticket_id, number", "'2, 5'")
