"""A source whose names hold what SQL itself uses: both kinds of quotes, percent signs, blanks."""

from __future__ import annotations

import pytest

from migrationsync.entities import Column
from migrationsync.names import quoted, quoted_table
from tests.migrationsync.people import People, Person, entity
from tests.migrationsync.syncing import sync
from tests.migrationsync.trees import KEYS, declared

TABLE = 'Old "Person`s" 100%'
KEY, NAME = '`"no"', '"Name" `x` 100%s'
GONE, CHANGED = '"gone"', "`changed`"


@pytest.fixture
def people(db, source, run):
    made = People(source, run)
    vendor = source.vendor
    names = [quoted(each, vendor) for each in (KEY, NAME, GONE, CHANGED)]
    key, name, gone, changed = names
    run(
        f"CREATE TABLE {quoted_table(TABLE, vendor)} ({key} {KEYS[vendor]}, {name} varchar(20) "
        f"NOT NULL UNIQUE, {gone} date, {changed} varchar(20))"
    )
    rows = "(3, 'Ada', NULL, '2024-05-02'), (7, 'Grace', NULL, '2024-05-02')"
    run(f"INSERT INTO {quoted_table(TABLE, vendor)} VALUES {rows}")
    columns = {"legacy_number": Column(KEY), "name": Column(NAME)}
    with declared(entity(columns, source=TABLE, key=KEY, deleted=GONE, changed_at=CHANGED)):
        yield made


def in_source(people):
    vendor = people.source.vendor
    names = ", ".join(quoted(each, vendor) for each in (KEY, NAME, GONE))
    found = people.run(f"SELECT {names} FROM {quoted_table(TABLE, vendor)}")
    return {name: (key, gone is not None) for key, name, gone in found}


def test_names_are_read_compared_and_written_as_they_are(people) -> None:
    sync(people.job(), "load")
    assert dict(Person.objects.values_list("legacy_number", "name")) == {3: "Ada", 7: "Grace"}
    assert people.outcomes(sync(people.job(), "compare")) == []
    people.target(3).update(name="Ada L")
    people.target(7).delete()
    Person.objects.create(name="Jean")
    job = people.job(sync_direction="bidirectional", max_deleted_percent=100)

    run = sync(job, "sync")

    assert {state for state, _ in people.outcomes(run)} == {"resolved"}
    told = in_source(people)
    assert told.pop("Jean")[1] is False
    assert told == {"Ada L": (3, False), "Grace": (7, True)}
    assert people.outcomes(sync(job, "sync", options={"since": "2024-01-01T00:00:00Z"})) == []
    assert people.outcomes(sync(job, "sync")) == []
    assert people.source.count(people.source.table(TABLE)) == 3


def test_view_with_such_names_has_its_keys_looked_at(people) -> None:
    vendor = people.source.vendor
    view, table = quoted_table(f"{TABLE} v", vendor), quoted_table(TABLE, vendor)
    people.run(f"CREATE VIEW {view} AS SELECT * FROM {table}")
    declared_so = entity({"name": Column(NAME)}, source=f"{TABLE} v", key=KEY)
    tables = people.source.check([declared_so])

    people.source.check_keys([declared_so], tables)

    assert people.source.high_water(tables["people"], KEY) == 7
