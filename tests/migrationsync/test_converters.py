from __future__ import annotations

import datetime as dt
import decimal
import json
import zoneinfo

import pytest
from django.db import DataError, connection, models, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrationsync.columns import Family, SourceColumn
from migrationsync.converters import (
    Boolean,
    Choice,
    ConversionError,
    Converter,
    Date,
    DateTime,
    Decimal,
    Email,
    Integer,
    Json,
    Phone,
    Text,
)

BERLIN = DateTime(zone="Europe/Berlin")


def refused(converter, value) -> str:
    with pytest.raises(ConversionError) as caught:
        converter.convert(value)
    return str(caught.value)


# --- what becomes of what -------------------------------------------------------


@pytest.mark.parametrize(
    ("converter", "value", "result"),
    [
        (Text(), "  Ada \t\n", "Ada"),
        (Text(), " \u00a0 ", None),
        (Text(), "Änne 👩‍⚕️", "Änne 👩‍⚕️"),
        (Text(), 42, "42"),
        (Text(), "Änne".encode(), "Änne"),
        (Text(max_length=3, cut=True), "ab cd", "ab"),
        (Email(), " Ada@Example.ORG ", "ada@example.org"),
        (Email(), "", None),
        (Phone("49"), "030 / 123-45 67", "+49301234567"),
        (Phone("49"), "+49 (0)30 1234567", "+49301234567"),
        (Phone("49"), "0049 30 1234567", "+49301234567"),
        (Phone("1", trunk="1"), "1 (555) 010-9999", "+15550109999"),
        (Phone("1", trunk="1"), "(555) 010-9999", "+15550109999"),
        (Choice({1: "nurse", "X": "gone"}), " 1 ", "nurse"),
        (Choice({1: "nurse", "X": "gone"}), 1, "nurse"),
        (Choice({1: "nurse", "X": "gone"}), "X", "gone"),
        (Choice({1: "nurse"}), "  ", None),
        (Json(), '{"a": [1, null]}', {"a": [1, None]}),
        (Json(), {"a": 1}, {"a": 1}),
        (Json(), " ", None),
        (Json(), "null", None),
        (Integer(), "  -7 ", -7),
        (Integer(), decimal.Decimal("3.0"), 3),
        (Integer(), True, 1),
        (Decimal(places=2), "12.5", decimal.Decimal("12.50")),
        (Decimal(places=2), 12, decimal.Decimal("12.00")),
        (Decimal(places=2), 0.1 + 0.2, decimal.Decimal("0.30")),
        (Decimal(places=2, rounded=True), "-2.345", decimal.Decimal("-2.35")),
        (Decimal(places=2), " ", None),
        (Boolean(), "Y", True),
        (Boolean(), " n ", False),
        (Boolean(), 0, False),
        (Boolean(), b"\x01", True),
        (Boolean(), "", None),
        (Date(), "2024-02-29", dt.date(2024, 2, 29)),
        (Date(), dt.datetime(2024, 2, 29), dt.date(2024, 2, 29)),
        (Date(), "0000-00-00", None),
        (Date(form="%d.%m.%Y"), "29.02.2024", dt.date(2024, 2, 29)),
        (BERLIN, "0000-00-00 00:00:00", None),
        (BERLIN, "2024-01-01 12:00:00", dt.datetime(2024, 1, 1, 11, tzinfo=dt.UTC)),
        (BERLIN, "2024-01-01T12:00:00Z", dt.datetime(2024, 1, 1, 12, tzinfo=dt.UTC)),
        (BERLIN, dt.date(2024, 7, 1), dt.datetime(2024, 6, 30, 22, tzinfo=dt.UTC)),
        # 2:30 never was: half an hour after 2 was 3:30 of summer.
        (BERLIN, dt.datetime(2024, 3, 31, 2, 30), dt.datetime(2024, 3, 31, 1, 30, tzinfo=dt.UTC)),
        # 2:30 was twice: the second time, in winter.
        (BERLIN, dt.datetime(2024, 10, 27, 2, 30), dt.datetime(2024, 10, 27, 1, 30, tzinfo=dt.UTC)),
    ],
)
def test_convert_answers(converter, value, result) -> None:
    converted = converter.convert(value)
    assert converted == result
    assert type(converted) is type(result)


@pytest.mark.parametrize(
    ("converter", "value", "why"),
    [
        (Text(max_length=3), "abcd", "longer than 3"),
        (Text(), "a\x00b", "NUL"),
        (Text(), b"\xff", "UTF-8"),
        (Email(), "n/a", "no e-mail"),
        (Phone("49"), "ask reception", "no telephone number"),
        (Phone("49"), "12", "too few"),
        (Choice({1: "nurse"}), 2, "none of the known codes (1)"),
        (Json(), '{"a": ', "no JSON"),
        (Json(), "NaN", "no JSON"),
        (Json(), '"\\u0000"', "NUL"),
        (Json(), "[" * 100_000, "no JSON"),
        (Integer(), "3.5", "no whole number"),
        (Integer(), "1e999999", "no whole number"),
        (Integer(most=10), 11, "above 10"),
        (Integer(least=0), -1, "below 0"),
        (Decimal(places=2), "1.005", "more than 2 decimal places"),
        (Decimal(places=2, digits=4), "100", "more than 2 digits"),
        (Decimal(places=2, digits=4, rounded=True), "99.999", "more than 2 digits"),
        (Decimal(places=2), "NaN", "no finite number"),
        (Decimal(places=2), "1e999999999", "digits"),
        (Boolean(), "maybe", "neither yes nor no"),
        (Boolean(), 2, "neither yes nor no"),
        (Date(), "1981-02-30", "no date"),
        (Date(), "2024-00-00", "no date"),
        (Date(), dt.datetime(2024, 1, 1, 8), "not a day"),
        (Date(), 20240101, "no date"),
        (BERLIN, "infinity", "no time"),
        (BERLIN, dt.datetime(1, 1, 1), "out of the range"),
        (DateTime(), dt.datetime.max.replace(tzinfo=zoneinfo.ZoneInfo("Etc/GMT+5")), "out of"),
    ],
)
def test_convert_refuses_and_says_why(converter, value, why) -> None:
    assert why in refused(converter, value)


def test_refusal_shows_only_the_beginning_of_a_long_value() -> None:
    message = refused(Text(max_length=5), "x" * 300_000)
    assert len(message) < 200
    assert "300,000 characters" in message


def test_refusal_names_the_column_it_is_given() -> None:
    with pytest.raises(ConversionError, match=r"^fee: 'abc' is no number$"):
        raise ConversionError("abc", "is no number").at("fee")


# --- what holds for all values ----------------------------------------------------


@given(st.text())
def test_text_once_converted_stays(value) -> None:
    try:
        once = Text().convert(value)
    except ConversionError:
        return
    assert once is None or Text().convert(once) == once


@given(st.decimals(-(10**8), 10**8, places=2))
def test_decimal_keeps_what_fits(value) -> None:
    converted = Decimal(places=2, digits=12).convert(str(value))
    assert converted == value
    assert converted.as_tuple().exponent == -2


ANY = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.decimals(), st.text(), st.binary(),
    st.dates(), st.datetimes(), st.datetimes(timezones=st.timezones()),
).filter(lambda value: value is not None)  # fmt: skip


ALL = [
    Text(),
    Email(),
    Phone("49"),
    Choice({1: "a"}),
    Json(),
    Integer(),
    Decimal(places=2, digits=9),
    Decimal(),
    Boolean(),
    Date(),
    DateTime(zone="America/New_York"),
]


@pytest.mark.parametrize("converter", ALL, ids=lambda converter: type(converter).__name__)
@given(value=ANY)
def test_convert_answers_or_refuses_whatever_comes(converter, value) -> None:
    try:
        result = converter.convert(value)
    except ConversionError as refusal:
        told = str(refusal)
    else:
        told = "" if result is None else converter.normal(result)[:100]
    assert len(told) < 400


# --- the same in PostgreSQL -----------------------------------------------------------


def column(family, length=None, places=None):
    return SourceColumn("x", family, family.value, length=length, places=places)


def by_sql(converter, shape, cast, value):
    """What the SQL of a converter makes of a value; ConversionError where it fails."""
    sql = converter.sql("x", shape)
    assert sql is not None
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL time zone 'UTC'")
            cursor.execute(
                f"SELECT {sql.replace('%', '%%')} FROM (SELECT CAST(%s AS {cast}) AS x) s", [value]
            )
            return cursor.fetchone()[0]
    except DataError as error:
        return ConversionError(value, str(error))


def same_in_sql(converter, shape, cast, value) -> None:
    found = by_sql(converter, shape, cast, value)
    try:
        expected = converter.convert(value)
    except ConversionError:
        assert isinstance(found, ConversionError), f"SQL made {found!r} of {value!r}"
        return
    if isinstance(converter, Json) and isinstance(found, str):
        found = json.loads(found)
    assert found == expected


pg_text = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
blanks = st.text(" \t\n\u00a0\u3000x")
in_database = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.django_db
@in_database
@given(st.one_of(pg_text, blanks))
def test_text_is_the_same_in_sql(value) -> None:
    same_in_sql(Text(), column(Family.TEXT), "text", value)
    same_in_sql(Text(max_length=3), column(Family.TEXT), "text", value)
    same_in_sql(Text(max_length=3, cut=True), column(Family.TEXT), "text", value)


@pytest.mark.django_db
@in_database
@given(st.one_of(st.sampled_from(["a'b", " 1", "2 ", "", "%"]), blanks))
def test_choice_is_the_same_in_sql(value) -> None:
    same_in_sql(Choice({"1": "it's", "a'b": "x", "%": "y"}), column(Family.TEXT), "text", value)


@pytest.mark.django_db
@in_database
@given(st.integers(-(2**31), 2**31 - 1))
def test_integers_are_the_same_in_sql(value) -> None:
    shape = column(Family.INTEGER)
    same_in_sql(Integer(least=0, most=1000), shape, "integer", value)
    same_in_sql(Decimal(places=2, digits=6), shape, "integer", value)
    same_in_sql(Boolean(), shape, "integer", value % 4 - 1)
    same_in_sql(Text(), shape, "integer", value)


@pytest.mark.django_db
@in_database
@given(st.decimals(-(10**6), 10**6, places=4) | st.just(decimal.Decimal("NaN")))
def test_decimals_are_the_same_in_sql(value) -> None:
    shape = column(Family.DECIMAL, places=4)
    same_in_sql(Decimal(places=2, digits=6, rounded=True), shape, "numeric", value)
    same_in_sql(Decimal(places=4, digits=8), shape, "numeric", value)
    same_in_sql(Decimal(), shape, "numeric", value)


@pytest.mark.django_db
@in_database
@given(
    st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2037, 1, 1)),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Europe/Dublin", "Australia/Lord_Howe"]),
)
def test_local_times_are_the_same_in_sql(value, zone) -> None:
    same_in_sql(DateTime(zone=zone), column(Family.DATETIME), "timestamp", value)


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Europe/Dublin"])
def test_every_hour_around_summer_time_is_the_same_in_sql(zone) -> None:
    start = dt.datetime(2024, 1, 1)
    times = [start + dt.timedelta(minutes=30 * n) for n in range(366 * 48)]
    converter = DateTime(zone=zone)
    sql = converter.sql("x", column(Family.DATETIME))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {sql} FROM unnest(%s::timestamp[]) x", [times])
        found = [row[0] for row in cursor.fetchall()]
    assert found == [converter.convert(time) for time in times]


@pytest.mark.django_db
@pytest.mark.parametrize("value", ["infinity", "-infinity", "20000-01-01", "0044-03-15 BC"])
def test_times_that_python_has_not_are_refused_in_sql_too(value) -> None:
    shapes = [
        (DateTime(), Family.DATETIME, "timestamp"),
        (DateTime(), Family.INSTANT, "timestamptz"),
        (Date(), Family.DATE, "date"),
    ]
    for converter, family, cast in shapes:
        assert isinstance(by_sql(converter, column(family), cast, value), ConversionError)


@pytest.mark.parametrize(
    ("converter", "shape"),
    [
        (Email(), column(Family.TEXT)),
        (Phone("49"), column(Family.TEXT)),
        (Boolean(), column(Family.TEXT)),
        (Integer(), column(Family.TEXT)),
        (DateTime(), column(Family.TEXT)),
        (Date(), column(Family.DATETIME)),
        (Json(), column(Family.TEXT)),
        (Decimal(places=2), column(Family.DECIMAL, places=4)),
        (Text(), column(Family.BINARY)),
    ],
    ids=lambda each: str(getattr(each, "family", type(each).__name__)),
)
def test_what_only_python_can_has_no_sql(converter, shape) -> None:
    assert converter.sql("x", shape) is None


def test_limits_come_from_the_field() -> None:
    assert Text().fitted(models.CharField(max_length=9)).max_length == 9
    assert Text(max_length=5).fitted(models.CharField(max_length=9)).max_length == 5
    fitted = Decimal().fitted(models.DecimalField(max_digits=8, decimal_places=3))
    assert (fitted.digits, fitted.places) == (8, 3)
    assert Integer().fitted(models.PositiveSmallIntegerField()) == Integer(0, 32767)


# --- back to the source ---------------------------------------------------------------


def not_back(converter, value, shape) -> str:
    with pytest.raises(ConversionError) as caught:
        converter.back(value, shape)
    return str(caught.value)


@pytest.mark.parametrize(
    ("converter", "value", "shape", "written"),
    [
        (Text(), "Änne", column(Family.TEXT), "Änne"),
        (Text(), "Änne", column(Family.BINARY), "Änne".encode()),
        (Text(), "42", column(Family.INTEGER), 42),
        (Phone("49"), "+49301234567", column(Family.TEXT), "+49301234567"),
        (Choice({1: "nurse", "X": "gone"}), "nurse", column(Family.INTEGER), 1),
        (Choice({1: "nurse", "X": "gone"}), "gone", column(Family.TEXT), "X"),
        (Json(), {"ä": [1, None]}, column(Family.TEXT), '{"ä": [1, null]}'),
        (Integer(), 7, column(Family.TEXT), "7"),
        (Integer(), 1, column(Family.BOOLEAN), True),
        (Decimal(places=2), decimal.Decimal("12.50"), column(Family.FLOAT), 12.5),
        (Boolean(), True, column(Family.INTEGER), 1),
        (Boolean(), False, column(Family.BINARY), b"\x00"),
        (Boolean(yes="Y", no="N"), False, column(Family.TEXT), "N"),
        (Date(form="%d.%m.%Y"), dt.date(2024, 2, 29), column(Family.TEXT), "29.02.2024"),
        (Date(), dt.date(2024, 2, 29), column(Family.DATETIME), dt.datetime(2024, 2, 29)),
        (
            BERLIN,
            dt.datetime(2024, 7, 1, 10, tzinfo=dt.UTC),
            column(Family.DATETIME, places=0),
            dt.datetime(2024, 7, 1, 12),
        ),
        # 2:30 was twice: it is read as its second time.
        (
            BERLIN,
            dt.datetime(2024, 10, 27, 1, 30, tzinfo=dt.UTC),
            column(Family.DATETIME),
            dt.datetime(2024, 10, 27, 2, 30),
        ),
    ],
)
def test_back_answers(converter, value, shape, written) -> None:
    found = converter.back(value, shape)
    assert found == written
    assert type(found) is type(written)
    assert converter.convert(found) == value


@pytest.mark.parametrize(
    ("converter", "value", "shape", "why"),
    [
        (Text(), "  Ada", column(Family.TEXT), "would be read again as 'Ada'"),
        (Text(), "abcdef", column(Family.TEXT, length=5), "longer than the 5 characters"),
        (Text(), "äää", column(Family.BINARY, length=5), "longer than the 5 bytes"),
        (Text(), "four", column(Family.INTEGER), "is no integer"),
        (Text(), "007", column(Family.INTEGER), "read again as '7'"),
        (Text(cut=True), "abc", column(Family.TEXT), "what was left out would be lost"),
        (Email(), "Ada@example.org", column(Family.TEXT), "read again as 'ada@example.org'"),
        (Phone("49"), "+49301234567", column(Family.INTEGER), "no room for its “+”"),
        (Choice({1: "a", 2: "a", 3: "b"}), "b", column(Family.TEXT), "“a” is 1 and 2"),
        (Choice({1: "a"}), "b", column(Family.TEXT), "has no code in the source (a have)"),
        (Choice({"X": "a"}), "a", column(Family.INTEGER), "is “X”, which is no integer"),
        (Json(), float("nan"), column(Family.JSON), "is no JSON"),
        (Integer(), 2, column(Family.BOOLEAN), "read again as 1"),
        (Integer(), 2**53 + 1, column(Family.FLOAT), "read again as"),
        (Integer(), 10**400, column(Family.FLOAT), "beyond what the source's floats"),
        (Decimal(places=2), decimal.Decimal("1.25"), column(Family.DECIMAL, places=1), "the 1 dec"),
        (Decimal(places=2), decimal.Decimal("1.25"), column(Family.INTEGER), "read again as 1.00"),
        (Boolean(), True, column(Family.TEXT), "how a text has yes and no"),
        (Date(form="%d.%m.%y"), dt.date(1901, 1, 1), column(Family.TEXT), "again as 2001-01-01"),
        # 2:30 was twice: its first time can't be written down.
        (
            BERLIN,
            dt.datetime(2024, 10, 27, 0, 30, tzinfo=dt.UTC),
            column(Family.DATETIME),
            "showed 2024-10-27 02:30:00 twice",
        ),
        (
            BERLIN,
            dt.datetime(2024, 7, 1, 10, 0, 0, 5, tzinfo=dt.UTC),
            column(Family.DATETIME, places=0),
            "parts of a second",
        ),
        (
            DateTime(),
            dt.datetime(2024, 7, 1, 10, tzinfo=dt.UTC),
            column(Family.DATE),
            "read again as 2024-07-01 00:00:00",
        ),
        (BERLIN, dt.datetime.max.replace(tzinfo=dt.UTC), column(Family.DATETIME), "out of the"),
    ],
)
def test_back_refuses_what_would_be_read_as_something_else(converter, value, shape, why) -> None:
    assert why in not_back(converter, value, shape)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_every_clock_of_a_year_goes_back_to_what_is_read_the_same(zone) -> None:
    converter, shape = DateTime(zone=zone), column(Family.DATETIME)
    start = dt.datetime(2024, 1, 1)
    for number in range(366 * 48):
        moment = converter.convert(start + dt.timedelta(minutes=30 * number))
        assert converter.convert(converter.back(moment, shape)) == moment


def test_converter_without_an_inverse_goes_one_way() -> None:
    class Celsius(Decimal):
        inverse = Converter.inverse

    assert Celsius().one_way()
    assert "Celsius has no inverse" in not_back(Celsius(), decimal.Decimal(1), column(Family.TEXT))


@pytest.mark.parametrize(
    ("converter", "is_reversible"),
    [
        *((converter, True) for converter in ALL),
        (Text(cut=True), False),
        (Choice({1: "a", 2: "a"}), False),
    ],
    ids=str,
)
def test_converter_says_whether_it_is_reversible(converter, is_reversible) -> None:
    assert (not converter.one_way()) is is_reversible


def test_forms_of_yes_and_no_must_be_read_as_such() -> None:
    assert Boolean(yes="Y", no="N").misdeclared() == ""
    assert Boolean(yes="N", no="Y").misdeclared() != ""
    assert Boolean(yes="Y").misdeclared() != ""


def test_who_converts_in_another_way_isnt_converted_as_its_parent_in_sql():
    class Doubled(Integer):
        def convert(self, value):
            return 2 * super().convert(value)

    number = column(Family.INTEGER)
    assert Integer().sql("x", number) is not None
    assert Doubled().sql("x", number) is None
