"""Column by column gives what `Entity.convert` gives row by row."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from migrationsync.converters import Text
from migrationsync.entities import Check, Column, RowError, entities
from migrationsync.loading.converting import convert_rows
from tests.migrationsync.test_entities import authors, books

ESCAPED = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}


def read(line):
    """A line as COPY reads it."""
    assert line.endswith("\n")
    return [
        None if text == "\\N" else re.sub(r"\\.", lambda found: ESCAPED[found[0]], text)
        for text in line[:-1].split("\t")
    ]


def written(value):
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, dict | list):
        return json.dumps(value)
    return None if value is None else str(value)


def row_by_row(entity, rows):
    lines, refused = [], []
    for row in rows:
        try:
            key, *values = entity.convert(row)
        except RowError as error:
            refused.append((error.key, [each.column for each in error.errors]))
        else:
            lines.append([str(key), row[-1], *map(written, values)])
    return lines, refused


def column_by_column(entity, rows):
    converted = convert_rows(entity, rows)
    refused = [(each.key, [error.column for error in each.errors]) for each in converted.refusals]
    return [read(line) for line in converted.lines], refused


texts = (
    st.none()
    | st.text(max_size=30)
    | st.sampled_from(
        ["", "  ", " a\tb\\N\n", "\\", "\\N", "\r", "x\x00", "1", "0", "x" * 300, "ä" * 161]
    )
)
numbers = st.none() | st.integers(-(2**40), 2**40) | st.booleans() | texts
decimals = numbers | st.decimals(allow_nan=True) | st.floats()
times = (
    st.none()
    | st.datetimes()
    | st.datetimes(timezones=st.just(dt.UTC))
    | st.dates()
    | st.sampled_from(["", "0000-00-00 00:00:00", "infinity", "2024-03-31 02:30:00", "2024-10"])
)  # fmt: skip
COLUMNS = {
    "offices": (texts, texts, texts, decimals, numbers, times, times, times),
    "profiles": (numbers, texts, texts, numbers, texts, times, times),
    "patients": (numbers, texts, texts, texts, times | texts, texts, times, times),
    "products": (numbers, texts, texts, numbers, decimals, numbers, times, times),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_rows_become_what_they_become_one_by_one(name) -> None:
    entity = entities.get(name)

    @given(st.lists(st.tuples(*COLUMNS[name]), max_size=12))
    def check(values):
        rows = [(number, *each, "sum") for number, each in enumerate(values)]
        assert column_by_column(entity, rows) == row_by_row(entity, rows)

    check()


@given(st.lists(st.sampled_from([1, True, 1.0, "1", " 1", decimal.Decimal("1.0"), None])))
@example([1, True, 1, True, 1, True])
def test_values_that_are_only_equal_are_not_taken_for_each_other(values) -> None:
    entity = authors(columns={"name": Column(null_as="none")})
    rows = [(number, each, "sum") for number, each in enumerate(values)]
    assert column_by_column(entity, rows) == row_by_row(entity, rows)


def test_value_that_comes_often_is_converted_once() -> None:
    asked = []

    class Counted(Text):
        def convert(self, value):
            asked.append(value)
            return super().convert(value)

    entity = authors(columns={"name": Column("name", Counted())})
    convert_rows(entity, [(number, "7", "sum") for number in range(100)])
    assert asked == ["7"]


def test_check_in_python_refuses_its_row_only() -> None:
    check = Check("costs something", lambda row: row["price"] > 0)
    rows = [(1, "Emma", 1, 4, "a"), (2, "Ulysses", 0, 4, "b"), (3, "x" * 21, None, 4, "c")]
    converted = convert_rows(books(checks=[check]), rows)
    assert [line.split("\t")[0] for line in converted.lines] == ["1"]
    assert [(each.key, each.reasons[0]["problem"]) for each in converted.refusals] == [
        (2, "is refused: it isn't true that it costs something"),
        (3, "is longer than 20 characters"),
    ]


def test_check_that_raises_refuses_its_row_only() -> None:
    check = Check("is dear", lambda row: row["born_on"] > dt.date(2000, 1, 1))
    entity = authors(checks=[Check("is named", lambda row: row["name"]), check])
    rows = [(1, "Ada", "", dt.date(2001, 1, 1), "a"), (2, "Bea", "", None, "b")]
    converted = convert_rows(entity, rows)
    assert [line.split("\t")[0] for line in converted.lines] == ["1"]
    (refusal,) = converted.refusals
    assert (refusal.key, refusal.reasons[0]["value"]) == (2, "'the row'")
    problem = refusal.reasons[0]["problem"]
    assert problem.startswith("is refused: it can't be told that it is dear: TypeError: ")
    assert "NoneType" in problem


class Halved(Text):
    """A team's own, with a mistake in it."""

    def convert(self, value):
        return str(10 / (int(value) - 1))


def test_converter_that_raises_refuses_its_row_only_with_the_column() -> None:
    entity = authors(columns={"name": Column("name", Halved()), "motto": Column()})
    rows = [(1, "1", "", "a"), (2, "3", "", "b"), (3, "x\x00", "y" * 21, "c")]
    converted = convert_rows(entity, rows)
    assert [line.split("\t")[0] for line in converted.lines] == ["2"]
    assert [
        [(each["column"], each["problem"].partition(" or ")[0]) for each in refusal.reasons]
        for refusal in converted.refusals
    ] == [
        [("name", "Halved can't convert: it raised ZeroDivisionError: division by zero")],
        [
            (
                "name",
                "Halved can't convert: it raised ValueError: invalid literal for int() with base "
                "10: 'x\\x00'",
            ),
            ("motto", "is longer than 20 characters"),
        ],
    ]


def test_refusal_keeps_the_row_as_json_that_can_be_stored() -> None:
    row = (5, "x\x00\ud800" + "y" * 4999, b"\xff" * 900, dt.date(2024, 1, 1), "sum")
    (refusal,) = convert_rows(authors(), [row]).refusals
    assert refusal.data["born"] == "2024-01-01"
    assert refusal.data["name"].startswith("x\\x00\\ud800yyy")
    assert refusal.data["name"].endswith("y… (5,002 characters)")
    assert refusal.data["motto"].endswith("ff… (900 bytes)")
    assert {each["column"] for each in refusal.reasons} == {"name", "motto"}
