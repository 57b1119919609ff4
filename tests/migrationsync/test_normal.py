from __future__ import annotations

import datetime as dt
import decimal

import pytest

from migrationsync import normal
from migrationsync.columns import Family


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
