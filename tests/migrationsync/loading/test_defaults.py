"""What new rows have in the columns that the declaration says nothing about."""

from __future__ import annotations

from migrationsync.entities import Column
from tests.migrationsync.loading.tickets import Ticket, entity


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

    field = Ticket._meta.get_field("secret")
    monkeypatch.setattr(field, "default", number)
    monkeypatch.delitem(field.__dict__, "_get_default", raising=False)
    tickets.add(1, 2)
    tickets.load()
    tickets.set(2, title="Another")
    tickets.add(3)
    tickets.load()
    assert len(called) == 3
    assert set(tickets.values("secret").values()) == {f"{n}\t\\N" for n in (1, 2, 3)}
    monkeypatch.delitem(field.__dict__, "_get_default", raising=False)


def test_default_that_is_none_is_null(tickets, monkeypatch) -> None:
    field = Ticket._meta.get_field("seat")
    monkeypatch.setattr(field, "default", lambda: None)
    monkeypatch.delitem(field.__dict__, "_get_default", raising=False)
    names = ("title", "code", "price", "day", "hall")
    tickets.add(1, 2)
    tickets.load(declared=entity(columns={name: Column() for name in names}))
    assert tickets.values("seat") == {1: None, 2: None}
    monkeypatch.delitem(field.__dict__, "_get_default", raising=False)
