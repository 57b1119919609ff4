from __future__ import annotations

import datetime as dt
import uuid

import pytest

from migrationsync import models as tables
from migrationsync.converters import Array, Boolean, Choice, Converter, DateTime, Phone, Text
from migrationsync.entities import Check, Column, Entity, ForeignKey, Registry
from migrationsync.entities.checks import LONGEST, check_entities, problems
from tests.migrationsync.shelf import Author, Gauge, Letter, Log, Map, Rack, Shop
from tests.migrationsync.test_entities import authors, books

FILLED = {"title": Column(), "price": Column(), "author": ForeignKey("authors", "author_id")}


def author(**columns):
    return authors(columns=columns)


def book(**columns):
    return books(columns={**FILLED, **columns})


def log(converter):
    return authors(name="logs", target=Log, columns={"seen_at": Column("at", converter)})


def log_as(null_as):
    return authors(name="logs", target=Log, columns={"seen_at": Column("at", null_as=null_as)})


def gauge(**columns):
    return authors(name="gauges", target=Gauge, columns=columns)


def found(*entities):
    return [(each.id, f"{each.msg} {each.hint or ''}") for each in problems(Registry(entities))]


def test_what_ships_is_declared_well() -> None:
    assert check_entities() == []


def test_good_declarations_have_no_problems() -> None:
    assert found(authors(), books()) == []


@pytest.mark.parametrize(
    ("number", "words", "declared"),
    [
        (1, "another entity has the name “authors”", [authors(), authors()]),
        (2, "Did you mean “authors”?", [authors(), book(author=ForeignKey("author", "x"))]),
        (4, "Did you mean “title”?", [authors(), book(titel=Column())]),
        (4, "has no field", [authors(), book(books=Column())]),
        (5, "Book.price is required", [authors(), books(columns={"title": Column()})]),
        (6, "doesn't point to Book", [authors(), book(author=ForeignKey("books", "x"))]),
        (6, "doesn't point to Author", [authors(), book(title=ForeignKey("authors", "x"))]),
        (6, "points to Author.token (to_field), not to the key", [authors(), authors(
            name="letters", target=Letter, columns={"author": ForeignKey("authors", "x")})]),
        (6, "ForeignKey(“…”, “author_no”)", [authors(), book(author=Column("author_no"))]),
        (7, "no usual converter for a Point", [
            authors(name="maps", target=Map, columns={"center": Column()})]),
        (7, "It is of Text, which is for CharField or TextField", [
            authors(name="racks", target=Rack, columns={"sizes": Column("s", Array(Text()))})]),
        (7, "Boolean doesn't make what a CharField takes", [author(name=Column("n", Boolean()))]),
        (8, "no time zone “Berlin”", [log(DateTime("Berlin"))]),
        (8, "names no codes", [author(name=Column("n", Choice({})))]),
        (8, "digits", [author(name=Column("n", Phone("+49")))]),
        (8, "its script is empty", [authors(script=" ")]),
        (9, "no UUIDField", [authors(name="shops", target=Shop, columns={"name": Column()})]),
    ],
)  # fmt: skip
def test_mistake_is_found_with_its_way_out(number, words, declared) -> None:
    ids = {id for id, text in found(*declared) if words in text}
    assert f"migrationsync.E{number:03}" in ids


class Half(Converter):
    """Its author forgot what it fits."""


class Penguin(Author):
    class Meta:
        app_label = "shelf"
        proxy = True


def test_two_entities_of_one_target_are_refused_wherever_they_are() -> None:
    told = found(authors(), authors(name="writers"), authors(name="birds", target=Penguin))
    assert [id for id, _ in told] == ["migrationsync.E010"] * 2
    assert "Author is what “authors” becomes already: tests/" in told[0][1]
    assert "one view" in told[0][1]


@pytest.mark.parametrize(
    ("words", "declared"),
    [
        ("the class Text is no converter. Make one", author(name=Column("n", Text))),
        ("columns[“name”]: 5 is no converter", author(name=Column("n", 5))),
        ("Text(max_length=None, cut=False) is no name", author(name=Column(Text()))),
        ("columns[“name”]: 'n' is neither a Column nor", author(name="n")),
        ("columns[“5”]: the target's field", authors(columns={5: Column()})),
        ("the class Entity is registered", Entity),
        ("'authors' is registered", "authors"),
        ("columns: [] isn't what belongs there", authors(columns=[])),
        ("columns: 'name' isn't what belongs", authors(columns="name")),
        ("its columns are empty", authors(columns={})),
        ("target: 'Author' isn't what belongs", authors(target="Author")),
        ("target: the class Entity isn't", authors(target=Entity)),
        ("target: the class Model isn't", authors(target=Author.__mro__[1])),
        ("name: None isn't what", authors(name=None)),
        ("name: ['a'] isn't what", authors(name=["a"])),
        ("script: 5 isn't what", authors(script=5)),
        ("source: None isn't what", authors(source=None)),
        ("deleted: None isn't what", authors(deleted=None)),
        ("its name is longer than 64", authors(name="a" * 65)),
        ("its source is longer than 128", authors(source="a" * 129)),
        ("checks: Check(", authors(checks=Check("x", bool))),
        ("checks[0]: the class Check isn't", authors(checks=[Check])),
        ("checks[0]: Check(name='x', holds='y'", authors(checks=[Check("x", "y")])),
        ("checks[0]: its name or its SQL", authors(checks=[Check("", bool)])),
        ("columns[“name”]: an entity and a column", author(name=ForeignKey(None, "x"))),
        ("null_as='0' is no legacy key", author(name=ForeignKey("a", "x", null_as="0"))),
        ("null_as=False is no legacy key", author(name=ForeignKey("a", "x", null_as=False))),
        ("columns[“id”]: Author.id is the UUID that", author(id=Column("uuid"))),
        ("Half doesn't say reads, makes, fits", author(name=Column("n", Half()))),
        ("DateTime: one of its options is of the wrong type", log(DateTime(None))),
        ("Text: one of its options is of", author(name=Column("n", Text(max_length="5")))),
    ],
)  # fmt: skip
def test_declaration_of_wrong_types_is_told_with_its_place(words, declared) -> None:
    [*_, (id, text)] = [each for each in found(declared) if words in each[1]] or [("", "")]
    assert id in ("migrationsync.E004", "migrationsync.E007", "migrationsync.E008"), found(declared)
    assert "Traceback" not in text


def test_entity_of_wrong_types_doesnt_hide_what_is_wrong_with_others() -> None:
    told = found(authors(target="Author"), authors(name=None), book(titel=Column()))
    assert [id for id, _ in told].count("migrationsync.E004") == 1
    assert not any("no entity “authors”" in text for _, text in told)


@pytest.mark.parametrize(
    ("words", "declared"),
    [
        ("null_as=5 is no str", author(name=Column(null_as=5))),
        ("null_as='xxxxx", author(name=Column(null_as="x" * 21))),
        ("null_as='0' is no Decimal or int", book(price=Column(null_as="0"))),
        ("null_as=True is no Decimal or int", book(price=Column(null_as=True))),
        ("ensure that there are no more than 4 digits before", book(price=Column(null_as=10**5))),
        ("is no date", author(born_on=Column(null_as="2024-01-01"))),
        ("is no date", author(born_on=Column(null_as=dt.datetime(2024, 1, 1)))),
        ("is of no zone", log_as(dt.datetime(2024, 1, 1))),
        ("is no UUID", gauge(token=Column(null_as="x"))),
        ("is no JSON", gauge(notes=Column(null_as={1, 2}))),
        ("is no JSON", gauge(notes=Column(null_as=float("nan")))),
    ],
)  # fmt: skip
def test_null_as_that_the_field_cant_hold_is_told(words, declared) -> None:
    told = [text.lower() for id, text in found(authors(name="authors"), declared) if id[-1] == "8"]
    assert any(words.lower() in text for text in told), told


@pytest.mark.parametrize(
    "declared",
    [
        author(name=Column(null_as="unknown"), motto=Column(null_as="")),
        author(name=Column(), born_on=Column(null_as=dt.date(1900, 1, 1))),
        log_as(dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
        gauge(token=Column(null_as=uuid.UUID(int=0)), notes=Column(null_as=[]),
              level=Column(null_as=0)),
    ],
)  # fmt: skip
def test_null_as_that_the_field_holds_is_right(declared) -> None:
    assert found(declared) == []


def test_names_are_as_long_as_the_tables_have_room_for() -> None:
    for model in vars(tables).values():
        for name, field in (("name", "entity_type"), ("source", "source_table")):
            if hasattr(model, "_meta") and hasattr(model, field):
                assert model._meta.get_field(field).max_length >= LONGEST[name]


def test_circle_is_told_once_with_its_way() -> None:
    circle = [author(name=ForeignKey("books", "x")), books()]
    texts = [text for id, text in found(*circle) if id == "migrationsync.E003"]
    assert len(texts) == 1
    assert "authors › books › authors" in texts[0]


def test_problem_says_where_the_entity_is_declared() -> None:
    (problem,) = problems(Registry([authors(script="")]))
    assert "tests/migrationsync/test_entities.py" in str(problem)
    assert "Entity “authors”" in str(problem)
