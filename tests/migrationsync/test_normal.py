from __future__ import annotations

import datetime as dt
import decimal

import pytest
from django.db import connections

from migrationsync import normal
from migrationsync.columns import Family

TYPES = {
    "postgresql": {"local": "timestamp(6)", "bit": "boolean", "long": "text"},
    "mysql": {"local": "datetime(6)", "bit": "tinyint(1)", "long": "longtext CHARSET utf8mb4"},
    "sqlite": {"local": "datetime", "bit": "boolean", "long": "text"},
}
# column: (type, family, places)
COLUMNS = {
    "id": ("integer PRIMARY KEY", Family.INTEGER, None),
    "note": ("{long}", Family.TEXT, None),
    "fee": ("decimal(12, 4)", Family.DECIMAL, 2),
    "ok": ("{bit}", Family.BOOLEAN, None),
    "day": ("date", Family.DATE, None),
    "seen": ("{local}", Family.DATETIME, None),
}
ROWS = [
    (1, "Änne 👩‍⚕️ | 'x' \\ ", "12.5000", True, "2024-02-29", "2024-03-31 02:30:00.000000"),
    (2, None, None, None, None, None),
    (3, "", "0.0000", False, "1899-12-31", "1969-12-31 23:59:59.123456"),
    (-4, "a\nb", "-0.0010", False, "9999-12-31", "2024-01-01 00:00:00.000001"),
    (2147483647, "100 %s", "99999999.9900", True, "0999-01-01", "2024-01-01 00:00:00.100000"),
    (5, "x", "1.2500", True, "2024-01-01", "2024-01-01 00:00:00.500000"),
    (6, "x", "-2.3450", True, "2024-01-01", "2024-01-01 00:00:00.500000"),
]  # fmt: skip


def in_python(row):
    number, note, fee, ok, day, seen = row
    values = (
        number,
        note,
        fee and decimal.Decimal(fee),
        ok,
        day and dt.date.fromisoformat(day),
        seen and dt.datetime.fromisoformat(seen),
    )
    return [
        normal.text(value, family, places=places)
        for value, (_, family, places) in zip(values, COLUMNS.values(), strict=True)
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_row_is_the_same_text_on_every_engine_and_in_python(source, run, row) -> None:
    kinds = TYPES[source.vendor]
    columns = ", ".join(f"{name} {kind.format(**kinds)}" for name, (kind, *_) in COLUMNS.items())
    run(f"CREATE TABLE sample ({columns})")
    run("INSERT INTO sample VALUES (%s, %s, %s, %s, %s, %s)", row)
    forms = [
        normal.sql(source.vendor, name, family, places=places)
        for name, (_, family, places) in COLUMNS.items()
    ]
    with connections[source.alias].cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(forms)}, {normal.checksum_sql(source.vendor, forms)} FROM sample"
        )
        *found, checksum = cursor.fetchone()
    expected = in_python(row)
    assert found == expected
    assert checksum == normal.checksum(expected)


@pytest.mark.parametrize("vendor", ["postgresql", "mysql", "sqlite"])
@pytest.mark.parametrize("family", [Family.JSON, Family.FLOAT, Family.BINARY, Family.OTHER])
def test_what_engines_write_differently_has_no_sql(vendor, family) -> None:
    assert normal.sql(vendor, "x", family) is None
    assert normal.sql(vendor, "x", Family.DECIMAL) is None


def test_json_is_in_order_of_its_names() -> None:
    assert normal.text({"b": 1, "a": ["ä"]}, Family.JSON) == '{"a":["ä"],"b":1}'


def test_moments_are_written_in_utc() -> None:
    summer = dt.timezone(dt.timedelta(hours=2))
    moment = dt.datetime(2024, 6, 1, 14, tzinfo=summer)
    assert normal.text(moment, Family.INSTANT) == "2024-06-01T12:00:00.000000"


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [("1.50", None, "1.5"), ("100", None, "100"), ("-0.00", None, "0"), ("1E+2", None, "100"),
     ("-0.001", 2, "0.00"), ("2.345", 2, "2.35")],
)  # fmt: skip
def test_decimals_have_one_form(value, places, text) -> None:
    assert normal.text(decimal.Decimal(value), Family.DECIMAL, places=places) == text


def test_null_differs_from_nothing_and_columns_stay_apart() -> None:
    rows = [(None, ""), ("", None), ("", ""), ("a", "b"), ("ab", "")]
    assert len({normal.checksum(row) for row in rows}) == len(rows)
