from __future__ import annotations

import pytest

from migrationsync.converters import Boolean, Choice, DateTime, Phone
from migrationsync.entities import Column, ForeignKey, Registry
from migrationsync.entities.checks import check_entities, problems
from tests.migrationsync.shelf import Log, Shop
from tests.migrationsync.test_entities import authors, books

FILLED = {"title": Column(), "price": Column(), "author": ForeignKey("authors", "author_id")}


def author(**columns):
    return authors(columns=columns)


def book(**columns):
    return books(columns={**FILLED, **columns})


def log(converter):
    return authors(name="logs", target=Log, columns={"seen_at": Column("at", converter)})


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
        (6, "ForeignKey(“…”, “author_no”)", [authors(), book(author=Column("author_no"))]),
        (7, "no usual converter for a FloatField", [authors(), book(weight=Column())]),
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


def test_circle_is_told_once_with_its_way() -> None:
    circle = book(author=ForeignKey("books", "x"))
    texts = [text for id, text in found(circle) if id == "migrationsync.E003"]
    assert len(texts) == 1
    assert "books › books" in texts[0]


def test_problem_says_where_the_entity_is_declared() -> None:
    (problem,) = problems(Registry([authors(script="")]))
    assert "tests/migrationsync/test_entities.py" in str(problem)
    assert "Entity “authors”" in str(problem)
