from __future__ import annotations

import datetime as dt
import decimal

import pytest

from migrationsync.columns import Family, SourceColumn
from migrationsync.converters import Decimal, Text
from migrationsync.entities import (
    Check,
    Column,
    Entity,
    EntityCycle,
    ForeignKey,
    Registry,
    RowError,
    UnknownEntity,
    entities,
)
from tests.migrationsync.shelf import Author, Book


def authors(**changes) -> Entity:
    options = {
        "name": "authors",
        "source": "author",
        "target": Author,
        "script": "author-migration.ts",
        "columns": {"name": Column(), "motto": Column(), "born_on": Column("born")},
    }
    return Entity(**{**options, **changes})


def books(**changes) -> Entity:
    options = {
        "name": "books",
        "source": "book",
        "target": Book,
        "script": "book-migration.ts",
        "key": "number",
        "columns": {
            "title": Column(),
            "price": Column("cost"),
            "author": ForeignKey("authors", "author_no"),
        },
    }
    return Entity(**{**options, **changes})


def named(name: str, *needs: str) -> Entity:
    columns = {f"f{n}": ForeignKey(need, "x") for n, need in enumerate(needs)}
    return authors(name=name, columns=columns)


# --- a row ------------------------------------------------------------------------


def test_row_is_read_by_the_types_of_the_target() -> None:
    entity = books()
    assert entity.reads == ("number", "title", "cost", "author_no")
    assert entity.convert((7, " Emma ", 12, "4")) == (7, "Emma", decimal.Decimal("12.00"), 4)


def test_null_becomes_what_the_field_takes() -> None:
    assert authors().convert((1, "Ada", None, None)) == (1, "Ada", "", None)


def test_null_becomes_what_the_declaration_says() -> None:
    entity = authors(columns={"name": Column(null_as="unknown")})
    assert entity.convert((1, "  ")) == (1, "unknown")


def test_row_with_several_mistakes_is_refused_with_all_of_them() -> None:
    with pytest.raises(RowError) as caught:
        books().convert((7, "x" * 21, None, "four"))
    assert caught.value.key == 7
    assert [error.column for error in caught.value.errors] == ["title", "cost", "author_no"]


def test_row_may_bring_further_columns_behind() -> None:
    assert authors().convert((1, "Ada", "", "1815-12-10", "more"))[-1] == dt.date(1815, 12, 10)


def test_check_refuses_a_row_and_says_why() -> None:
    entity = books(checks=[Check("costs something", lambda row: row["price"] > 0)])
    assert entity.convert((7, "Emma", 1, 4))
    with pytest.raises(RowError, match="it isn't true that it costs something"):
        entity.convert((7, "Emma", 0, 4))


@pytest.mark.parametrize(
    "mark", [1, True, "Y", "x", dt.datetime(2024, 1, 1), "2024-01-01", b"\x01"]
)
def test_row_is_deleted(mark) -> None:
    assert Entity.is_deleted(mark)


@pytest.mark.parametrize(
    "mark", [None, 0, False, "", "  ", "N", "no", "0", "0000-00-00 00:00:00", b"\x00"]
)
def test_row_is_not_deleted(mark) -> None:
    assert not Entity.is_deleted(mark)


def test_columns_that_need_python_are_named() -> None:
    shapes = {
        "title": SourceColumn("title", Family.TEXT, "text"),
        "cost": SourceColumn("cost", Family.FLOAT, "float8"),
        "author_no": SourceColumn("author_no", Family.INTEGER, "int4"),
    }
    assert books().not_plain(shapes) == ("cost",)
    shapes["cost"] = SourceColumn("cost", Family.DECIMAL, "numeric", places=2)
    assert books().not_plain(shapes) == ()
    check = Check("costs something", lambda row: row["price"] > 0)
    assert books(checks=[check]).not_plain(shapes) == ("costs something",)


# --- the registry --------------------------------------------------------------------


def test_order_puts_each_behind_what_it_needs() -> None:
    registry = Registry([named("c", "b"), named("a"), named("b", "a"), named("d", "a", "c")])
    assert [entity.name for entity in registry.in_order()] == ["a", "b", "c", "d"]
    assert [entity.name for entity in registry.in_order(["d", "b"])] == ["b", "d"]


def test_order_leaves_what_needs_nothing_as_declared() -> None:
    registry = Registry([named("z"), named("a"), named("m")])
    assert [entity.name for entity in registry.in_order()] == ["z", "a", "m"]


def test_order_names_the_circle_only() -> None:
    registry = Registry([named("x", "a"), named("a", "b"), named("b", "c"), named("c", "a")])
    with pytest.raises(EntityCycle) as caught:
        registry.in_order()
    assert caught.value.names == ("a", "b", "c", "a")


def test_long_chain_is_ordered() -> None:
    registry = Registry([named(f"e{n}", *([f"e{n + 1}"] if n < 3000 else [])) for n in range(3001)])
    assert registry.in_order()[0].name == "e3000"


def test_unknown_entity_is_answered_with_the_one_that_was_meant() -> None:
    with pytest.raises(UnknownEntity, match="Did you mean “books”"):
        Registry([books()]).get("bookz")


def test_entities_of_installed_apps_are_there_in_order() -> None:
    names = [entity.name for entity in entities.in_order()]
    assert names == ["offices", "profiles", "doctors", "patients", "orders", "products"]
    assert entities.get("offices").script == "office-migration.ts"


def test_entity_knows_where_it_was_declared() -> None:
    assert "tests/migrationsync/test_entities.py:" in str(authors())
    assert "migrationsync/dispatch/entities.py:" in str(entities.get("orders"))


def test_converter_of_a_declaration_keeps_its_own_limits() -> None:
    entity = books(
        columns={
            "title": Column("title", Text(max_length=2, cut=True)),
            "price": Column("p", Decimal(rounded=True)),
        }
    )
    assert entity.convert((1, "abc", "1.999")) == (1, "ab", decimal.Decimal("2.00"))
