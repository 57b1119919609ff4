"""JSON comes over as it is written, whichever way and whatever is beside it."""

from __future__ import annotations

import pytest
from django.db import connection

from migrationsync.entities import Column
from tests.migrationsync.loading.tickets import JSON, TEXT, Ticket, Tickets, entity

EXACT = {
    1: "[12345678901234567890.123456789012]",
    2: '{"a": [1.00, 1e400, -0.10, 123456789012345678901234567890]}',
    3: '"5"',
    4: '"null"',
    5: '"abc"',
    6: "[]",
    7: '{"path": "C:\\\\u0000", "tab": "\\t", "ä": "\\u00e4"}',
    8: "false",
    9: "0.1",
}
STORED = {
    **EXACT,
    2: '{"a": [1.00, 1' + "0" * 400 + ", -0.10, 123456789012345678901234567890]}",
    7: '{"ä": "ä", "tab": "\\t", "path": "C:\\\\u0000"}',
}


def stored(tickets):
    """As PostgreSQL writes it: Python's floats have fewer digits."""
    keys = {row.pk: row.code for row in Ticket.objects.all()}
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, extras::text FROM shelf_ticket")
        return {int(keys[pk].removeprefix("T")): text for pk, text in cursor.fetchall()}


@pytest.fixture(params=["json", "text"])
def written(request, db, source, run):
    """Tickets whose legacy JSON is in a column of its own type, and in a text."""
    with connection.schema_editor() as editor:
        editor.create_model(Ticket)
    return Tickets(source, run, json=JSON if request.param == "json" else TEXT)


@pytest.mark.parametrize("source", ["postgresql", "sqlite"], indirect=True)
@pytest.mark.parametrize("neighbour", ["Ticket 99", "x" * 20 + "y"])
@pytest.mark.parametrize("in_sql", [True, False])
def test_json_is_stored_exactly_whatever_its_neighbours_are(
    written, run, neighbour, in_sql
) -> None:
    if written.source.vendor == "postgresql":
        run("ALTER TABLE ticket ALTER title TYPE varchar(40)")
    for key, text in EXACT.items():
        written.add(key, extras=text)
    written.add(99, title=neighbour)
    written.load(in_sql=in_sql)
    found = stored(written)
    found.pop(99, None)
    assert found == STORED
    assert sorted(written.refused()) == ([99] if len(neighbour) > 20 else [])


def test_null_of_json_and_of_the_column_are_null(written) -> None:
    written.add(1, extras="null")
    written.add(2, extras=None)
    written.load()
    assert stored(written) == {1: None, 2: None}


def test_null_has_the_value_of_the_declaration(written) -> None:
    columns = {**entity().columns, "extras": Column(null_as={"none": 1.5})}
    written.add(1, extras="null")
    written.add(2, extras=None)
    written.add(3, extras="[]")
    written.load(declared=entity(columns=columns))
    assert stored(written) == {1: '{"none": 1.5}', 2: '{"none": 1.5}', 3: "[]"}


@pytest.mark.parametrize("source", ["sqlite"], indirect=True)
def test_what_is_no_json_costs_its_row_only(written) -> None:
    for key, text in {1: "{", 2: '"\\u0000"', 3: "[1]", 4: '"\\ud800"', 5: "1e999999"}.items():
        written.add(key, extras=text)
    assert written.load().inserted == 1
    assert sorted(written.refused()) == [1, 2, 4, 5]
