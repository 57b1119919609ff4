"""Nulls and blanks on their way back, by what the declaration says of them."""

from __future__ import annotations

import pytest

from migrationsync.columns import Family, SourceColumn
from migrationsync.converters import Boolean, ConversionError, Date, Text
from migrationsync.entities.declarations import Value

NULLABLE = SourceColumn("x", Family.TEXT, "varchar", is_nullable=True)
REQUIRED = SourceColumn("x", Family.TEXT, "varchar", is_nullable=False)
DAY = SourceColumn("x", Family.DATE, "date", is_nullable=False)


def value(converter, null_as=None):
    return Value("field", "x", converter, null_as, is_required=False)


@pytest.mark.parametrize(
    ("converter", "null_as", "found", "column", "written"),
    [
        (Text(), None, None, NULLABLE, None),
        (Text(), None, None, REQUIRED, ""),
        (Date(), None, None, REQUIRED, ""),
        (Text(), "", "", NULLABLE, None),
        (Text(), "", "", REQUIRED, ""),
        (Text(), "unknown", "unknown", NULLABLE, "unknown"),
        (Boolean(yes="Y", no="N"), True, True, NULLABLE, "Y"),
        (Boolean(yes="Y", no="N"), True, False, NULLABLE, "N"),
    ],
)
def test_nothing_goes_back_as_nothing(converter, null_as, found, column, written) -> None:
    reading = value(converter, null_as)
    assert reading.back(found, column) == written
    assert reading.convert(written) == found


@pytest.mark.parametrize(
    ("converter", "null_as", "found", "column", "why"),
    [
        (Date(), None, None, DAY, "x: None is nothing, but the source requires a value"),
        (Text(), "unknown", None, NULLABLE, "x: None can't be written back: it is read as unknown"),
        (Text(max_length=3), "", "abcd", NULLABLE, "x: 'abcd' can't be written back"),
    ],
)
def test_nothing_is_refused_with_its_column(converter, null_as, found, column, why) -> None:
    with pytest.raises(ConversionError, match=f"^{why}"):
        value(converter, null_as).back(found, column)


class Torn(Text):
    """A team's own, with a mistake in it."""

    def inverse(self, value, column):
        return value[9]


def test_converter_that_raises_on_the_way_back_is_refused_with_its_column() -> None:
    why = "^x: 'abc' Torn can't write back: it raised IndexError: string index out of range$"
    with pytest.raises(ConversionError, match=why):
        value(Torn()).back("abc", NULLABLE)
