"""Lists from arrays, JSON and texts: read, refused, written back."""

from __future__ import annotations

import datetime as dt
import decimal

import pytest
from django.contrib.postgres.fields import ArrayField
from django.db import models
from hypothesis import given
from hypothesis import strategies as st

from migrationsync import arrays
from migrationsync.columns import Family, SourceColumn
from migrationsync.converters import (
    Array,
    Boolean,
    Choice,
    ConversionError,
    Date,
    Decimal,
    Integer,
    Json,
    Text,
    usual,
)
from tests.migrationsync.shelf import Point
from tests.migrationsync.test_converters import not_back, refused

JSON = SourceColumn("x", Family.JSON, "json")
TEXT = SourceColumn("x", Family.TEXT, "text")
SHORT = SourceColumn("x", Family.TEXT, "varchar", length=5)
INTEGERS = SourceColumn("x", Family.ARRAY, "_int4", items=Family.INTEGER)
TEXTS = SourceColumn("x", Family.ARRAY, "_text", items=Family.TEXT)
DATES = SourceColumn("x", Family.ARRAY, "_date", items=Family.DATE)
FLAGS = SourceColumn("x", Family.ARRAY, "_bool", items=Family.BOOLEAN)

LETTERS = Array(Choice({1: "a", 2: "b"}))
PRICES = Array(Decimal(places=20, digits=30))


@pytest.mark.parametrize(
    ("converter", "value", "result"),
    [
        (Array(Integer()), [1, None, 3], [1, None, 3]),
        (Array(Integer()), "[1, null, 3]", [1, None, 3]),
        (Array(Integer()), " ", None),
        (Array(Integer()), "null", None),
        (Array(Integer()), "[]", []),
        (Array(Integer(), ","), "1, 2,,3", [1, 2, None, 3]),
        (Array(Text()), [" a", "", " ", None], ["a", "", "", None]),
        (Array(Text(), ";"), "a;b,c; ;", ["a", "b,c", "", ""]),
        (Array(Text(), ","), "", None),
        (PRICES, "[1.12345678901234567890]", [decimal.Decimal("1.12345678901234567890")]),
        (LETTERS, [1, "2"], ["a", "b"]),
        (Array(Date()), '["2024-02-29"]', [dt.date(2024, 2, 29)]),
        (Array(Array(Integer())), [[1, 2], [3, None]], [[1, 2], [3, None]]),
        (Array(Array(Integer())), "[[1], null]", [[1], None]),
    ],
)
def test_convert_answers(converter, value, result) -> None:
    assert converter.convert(value) == result


@pytest.mark.parametrize(
    ("converter", "value", "why"),
    [
        (Array(Integer()), ["1", "x"], "(item 2) is no number"),
        (Array(Text(max_length=2)), "['a']", "is no JSON"),
        (Array(Text(max_length=2)), '["abc"]', "(item 1) is longer than 2"),
        (Array(Integer()), '{"a": 1}', "is no list"),
        (Array(Integer()), "5", "is no list"),
        (LETTERS, [3], "none of the known codes"),
    ],
)
def test_convert_refuses_and_says_which_item(converter, value, why) -> None:
    assert why in refused(converter, value)


@pytest.mark.parametrize(
    ("converter", "value", "shape", "written"),
    [
        (Array(Integer()), [1, None], INTEGERS, [1, None]),
        (Array(Integer()), [1, None], JSON, "[1, null]"),
        (Array(Integer()), [1, None], TEXT, "[1, null]"),
        (Array(Integer(), ","), [1, None, 3], TEXT, "1,,3"),
        (Array(Text()), ["é", "", None], JSON, '["é", "", null]'),
        (Array(Text()), ["a"], TEXTS, ["a"]),
        (Array(Boolean()), [True], JSON, "[true]"),
        (Array(Boolean()), [True], FLAGS, [True]),
        (Array(Decimal(places=1)), [decimal.Decimal("1.5")], JSON, "[1.5]"),
        (Array(Date()), [dt.date(2024, 2, 29)], DATES, [dt.date(2024, 2, 29)]),
        (Array(Date()), [dt.date(2024, 2, 29)], JSON, '["2024-02-29"]'),
        (LETTERS, ["b"], INTEGERS, [2]),
        (LETTERS, ["b"], TEXT, '["2"]'),
        (Array(Array(Integer())), [[1], [2]], INTEGERS, [[1], [2]]),
        (Array(Array(Integer())), [[1], None], JSON, "[[1], null]"),
    ],
)
def test_it_goes_back_as_the_source_has_lists(converter, value, shape, written) -> None:
    assert converter.back(value, shape) == written


@pytest.mark.parametrize(
    ("converter", "value", "shape", "why"),
    [
        (Array(Text(), ","), ["a,b"], TEXT, "would be read again as ['a', 'b']"),
        (Array(Text(), ","), [], TEXT, "would be read again as None"),
        (Array(Text(), ","), ["a", None], TEXT, "would be read again as ['a', '']"),
        (Array(Integer()), [1, 2, 3], SHORT, "is longer than the 5 characters"),
        (PRICES, [decimal.Decimal("1.12345678901234567890")], JSON, "would be read again as"),
        (Array(Text(cut=True)), ["a"], TEXT, "it was cut"),
        (Array(Boolean()), [True], TEXTS, "it isn't said how a text has yes"),
    ],
)
def test_what_would_be_read_otherwise_stays(converter, value, shape, why) -> None:
    assert why in not_back(converter, value, shape)


def test_items_are_read_as_the_field_has_them() -> None:
    converter = usual(ArrayField(ArrayField(models.CharField(max_length=2))))
    assert converter.convert([["ab"]]) == [["ab"]]
    with pytest.raises(ConversionError, match="longer than 2"):
        converter.convert([["abc"]])
    assert usual(ArrayField(Point())) is None


@pytest.mark.parametrize(
    ("converter", "why"),
    [
        (Array(Text), "make one, with parentheses"),
        (Array(Json()), "a list of JSON is a JSONField's"),
        (Array(Array(Text()), ","), "no lists of lists"),
        (Array(Choice({})), "names no codes"),
        (Array(), ""),
        (Array(Text(), ","), ""),
    ],
)
def test_misdeclared_says_what_is_wrong(converter, why) -> None:
    assert why in converter.misdeclared()
    assert bool(why) == bool(converter.misdeclared())


def test_misfit_says_which_items_it_is_for() -> None:
    letters = ArrayField(models.CharField(max_length=2))
    assert Array().misfit(letters) == ""
    assert Array(Boolean()).misfit(letters) == "is of Boolean, which is for BooleanField"
    assert Array().misfit(models.CharField(max_length=2)) == "is for ArrayField"
    assert "read a Point" in Array().misfit(ArrayField(Point()))


texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=8)
items = st.recursive(st.none() | texts, lambda inner: st.lists(inner, min_size=1), max_leaves=8)


@given(st.lists(items))
def test_literal_is_read_as_it_was_written(found) -> None:
    assert arrays.read(arrays.written(found)) == found


def test_literal_of_postgresql_is_read_too() -> None:
    assert arrays.read('{1,NULL,"a b",t,{x}}') == ["1", None, "a b", "t", ["x"]]
