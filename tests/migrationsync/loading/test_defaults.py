"""What new rows have in the columns that the declaration says nothing about."""

from __future__ import annotations

from migrationsync.entities import Column
from migrationsync.models import QuarantinedRow
from tests.migrationsync.loading.tickets import Ticket, entity


def has_default(monkeypatch, name, make) -> None:
    field = Ticket._meta.get_field(name)
    # What Django keeps of it, first: so that it is the field's own that comes back.
    monkeypatch.setattr(field, "_get_default", make)
    monkeypatch.setattr(field, "default", make)


def test_default_that_is_called_is_called_for_each_new_row(tickets) -> None:
    tickets.add(1, 2, 3)
    assert tickets.load().inserted == 3
    assert len(set(tickets.values("token").values())) == 3
    assert len(set(tickets.values("secret").values())) == 3
    assert {len(secret) for secret in tickets.values("secret").values()} == {64}
    assert list(tickets.values("notes").values()) == [{}, {}, {}]
    assert set(tickets.values("state").values()) == {"new"}


def test_default_of_a_row_that_is_there_stays_as_it_is(tickets) -> None:
    tickets.add(1, 2)
    tickets.load()
    before = tickets.values("token")
    tickets.set(1, title="Another")
    tickets.add(3)
    found = tickets.load()
    assert (found.inserted, found.updated, found.unchanged) == (1, 1, 1)
    after = tickets.values("token")
    assert after == {**before, 3: after[3]}
    assert after[3] not in before.values()


def test_row_that_is_made_again_has_a_default_of_its_own(tickets) -> None:
    tickets.add(1, 2, 3)
    tickets.load()
    Ticket.objects.filter(pk__in=[tickets.mapping(key).uuid_id for key in (1, 2)]).delete()
    tickets.set(3, title="Another")
    found = tickets.load()
    assert (found.inserted, found.updated) == (2, 1)
    assert len(set(tickets.values("token").values())) == 3


def test_default_is_called_for_new_rows_only(tickets, monkeypatch) -> None:
    called = []

    def number() -> str:
        called.append(None)
        return f"{len(called)}\t\\N"

    has_default(monkeypatch, "secret", number)
    tickets.add(1, 2)
    tickets.load()
    tickets.set(2, title="Another")
    tickets.add(3)
    tickets.load()
    assert len(called) == 3
    assert set(tickets.values("secret").values()) == {f"{n}\t\\N" for n in (1, 2, 3)}


def test_default_that_is_none_is_null(tickets, monkeypatch) -> None:
    has_default(monkeypatch, "seat", lambda: None)
    names = ("title", "code", "price", "day", "hall")
    tickets.add(1, 2)
    tickets.load(declared=entity(columns={name: Column() for name in names}))
    assert tickets.values("seat") == {1: None, 2: None}


def test_default_that_its_own_field_does_not_take_is_named(tickets, monkeypatch) -> None:
    has_default(monkeypatch, "secret", lambda: "x" * 65)
    tickets.add(1)
    tickets.load()
    [reason] = QuarantinedRow.objects.get().reasons
    assert "value too long" in reason["problem"]
    assert "the default of secret: Ensure this value has at most 64 characters" in reason["problem"]
