from __future__ import annotations

import pytest

from migrationsync.converters import Boolean, Choice, Text
from migrationsync.dispatch.legacy.tables import TABLES
from migrationsync.dispatch.models import Office
from migrationsync.entities import Column, Entity, ForeignKey, entities
from migrationsync.returning import refusals
from tests.migrationsync.test_entities import authors, books

DISPATCH = ("offices", "profiles", "doctors", "patients", "orders", "products")


@pytest.mark.parametrize("name", DISPATCH)
def test_shipped_entities_go_both_ways(source, run, name) -> None:
    entity = entities.get(name)
    [table] = [each for each in TABLES if each.name == entity.source]
    run(table.create(source.vendor))
    assert refusals(entity) == []
    assert refusals(entity, source.table(entity.source)) == []


def test_column_that_cannot_go_back_is_named_without_a_database() -> None:
    columns = {
        "name": Column(converter=Text(cut=True)),
        "motto": Column("code", Choice({1: "a", 2: "a"})),
    }
    assert [each.partition(":")[0] for each in refusals(authors(columns=columns))] == [
        "author.name can't be written back",
        "author.code can't be written back",
    ]


def test_key_is_no_matter_unless_it_points_to_another_row() -> None:
    kept = authors(columns={"name": Column(), "motto": Column("id", Text(cut=True))})
    assert refusals(kept) == []
    shared = books(columns={**books().columns, "author": ForeignKey("authors", "number")})
    assert refusals(shared) == ["book.number is the key, which is never changed."]


def test_what_depends_on_the_source_is_said_once_it_is_known(source, run) -> None:
    run("CREATE TABLE office (id integer NOT NULL PRIMARY KEY, active char(1))")
    flag = Entity(
        name="offices",
        source="office",
        target=Office,
        script="x",
        columns={"is_active": Column("active", Boolean())},
    )
    assert refusals(flag) == []
    [why] = refusals(flag, source.table("office"))
    assert why.startswith("office.active can't be written back: it isn't said how a text has yes")


def test_required_columns_that_nobody_fills_are_named(source, run) -> None:
    run(
        "CREATE TABLE author (id integer NOT NULL PRIMARY KEY, name varchar(20) NOT NULL, "
        "motto varchar(20), born date, ssn varchar(9) NOT NULL, "
        "country char(2) DEFAULT 'de' NOT NULL, note varchar(9))"
    )
    [why] = refusals(authors(), source.table("author"))
    assert why.startswith("author.ssn is required, but “authors” doesn't declare it")
    assert why.endswith("Declare it there, or give it a default in the source.")
    other = authors(name="taxpayers", columns={"name": Column("ssn")})
    entities.register(other)
    try:
        [why] = refusals(authors(), source.table("author"))
    finally:
        entities.declared.remove(other)
    assert "“taxpayers” reads the same table and declares it" in why


def test_view_is_not_written_to(source, run) -> None:
    run(
        "CREATE TABLE all_books (number integer, title varchar(9), cost integer, author_no integer)"
    )
    run("CREATE VIEW book AS SELECT * FROM all_books")
    assert refusals(books(), source.table("book"))[0] == (
        "book is a view: only tables are written to."
    )


def test_mark_that_nobody_understands_is_refused(source, run) -> None:
    run(
        "CREATE TABLE author (id integer NOT NULL PRIMARY KEY, name varchar(20), "
        "motto varchar(20), born date, state varchar(9))"
    )
    [why] = refusals(authors(deleted="state"), source.table("author"))
    assert "it can't be told how it marks a row as deleted" in why
