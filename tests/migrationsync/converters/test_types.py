"""Floats, keys, UUIDs, times, lengths of time, bytes and addresses: read, refused, written back."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid

import pytest
from django.db import connection, models
from hypothesis import example, given
from hypothesis import strategies as st

from migrationsync import normal
from migrationsync.columns import Family, SourceColumn
from migrationsync.converters import (
    UUID,
    Binary,
    Choice,
    ConversionError,
    Duration,
    Float,
    IPAddress,
    Key,
    Text,
    Time,
    usual,
)
from migrationsync.entities import Column, Entity
from tests.migrationsync.shelf import Gauge
from tests.migrationsync.test_converters import (
    by_sql,
    column,
    in_database,
    not_back,
    refused,
    same_in_sql,
)

ID = uuid.UUID("0190a5b2-7c3d-7e4f-8a9b-0c1d2e3f4a5b")
LONGEST = dt.timedelta(days=999_999_999)


def length(**of):
    return dt.timedelta(**of)


@pytest.mark.parametrize(
    ("converter", "value", "result"),
    [
        (Float(), " 2.5 ", 2.5),
        (Float(), "", None),
        (Float(), decimal.Decimal("0.10"), 0.1),
        (Float(), -0.0, 0.0),
        (Float(), 3, 3.0),
        (Float(rounded=True), 2**53 + 1, 2.0**53),
        (Key(null_as=0), 0, None),
        (Key(null_as=0), "00", None),
        (Key(null_as=-1), 0, 0),
        (Key(), 0, 0),
        (UUID(), ID, ID),
        (UUID(), f" {str(ID).upper()} ", ID),
        (UUID(), ID.hex, ID),
        (UUID(), ID.bytes, ID),
        (UUID(), str(ID).encode(), ID),
        (UUID(), "  ", None),
        (Time(), "14:30", dt.time(14, 30)),
        (Time(), "14:30:05.25", dt.time(14, 30, 5, 250_000)),
        (Time(), dt.time(0), dt.time(0)),
        (Time(), length(hours=23, microseconds=1), dt.time(23, 0, 0, 1)),
        (Time(form="%H.%M Uhr"), "9.05 Uhr", dt.time(9, 5)),
        (Time(), " ", None),
        (Duration(), "1:30:00", length(minutes=90)),
        (Duration(), "-100:00:00.5", -length(hours=100, milliseconds=500)),
        (Duration(), "2 days 01:30:00", length(days=2, minutes=90)),
        (Duration(), str(length(days=-1, seconds=5)), length(days=-1, seconds=5)),
        (Duration(), "P2DT1H30M", length(days=2, minutes=90)),
        (Duration(), dt.time(1, 30), length(minutes=90)),
        (Duration(unit="minutes"), 90, length(minutes=90)),
        (Duration(unit="hours"), " 1.5 ", length(minutes=90)),
        (Duration(unit="seconds"), 0.1, length(milliseconds=100)),
        (Duration(unit="hours"), "1:30:00", length(minutes=90)),
        (Duration(), "", None),
        (Binary(), b"\x00", b"\x00"),
        (Binary(), b"", b""),
        (IPAddress(), " 10.0.0.1 ", "10.0.0.1"),
        (IPAddress(), "2001:DB8:0:0::1", "2001:db8::1"),
        (IPAddress(), 167_772_161, "10.0.0.1"),
        (IPAddress(), b"\x0a\x00\x00\x01", "10.0.0.1"),
        (IPAddress(), bytes(15) + b"\x01", "::1"),
        (IPAddress(unpack_ipv4=True), "::ffff:10.0.0.1", "10.0.0.1"),
        (IPAddress(protocol="ipv4"), "::ffff:10.0.0.1", "10.0.0.1"),
        (IPAddress(), "", None),
    ],
)
def test_convert_answers(converter, value, result) -> None:
    found = converter.convert(value)
    assert found == result
    assert type(found) is type(result)
    assert repr(found) == repr(result)


@pytest.mark.parametrize(
    ("converter", "value", "why"),
    [
        (Float(), "1,5", "is no number"),
        (Float(), float("nan"), "is no finite number"),
        (Float(), 10**400, "is beyond what a float"),
        (Float(), 2**53 + 1, "has more digits than a float keeps"),
        (Float(), decimal.Decimal("0.12345678901234567890"), "has more digits"),
        (Key(null_as=0), "four", "is no number"),
        (UUID(), "0190a5b2", "is no UUID"),
        (UUID(), f"{{{ID}}}", "is no UUID"),
        (UUID(), str(ID).replace("7c3d-", "7c-3d"), "is no UUID"),
        (UUID(), 5, "is no UUID"),
        (UUID(), b"\xff" * 15, "is no UTF-8 text"),
        (Time(), "25:00", "is no time of day"),
        (Time(), "1430", "is no time of day"),
        (Time(), "14:30:05.1234567", "is no time of day"),
        (Time(), "14:30+02:00", "is no time of day"),
        (Time(), dt.time(14, tzinfo=dt.UTC), "is of a zone"),
        (Time(), length(hours=24), "is no time of day"),
        (Time(), length(seconds=-1), "is no time of day"),
        (Time(), 1430, "is no time of day"),
        (Duration(), "1:30", "is no length of time"),
        (Duration(), "90", "is no length of time"),
        (Duration(), "P1M", "is no length of time"),
        (Duration(), 90, "unit="),
        (Duration(unit="hours"), "1:30", "is no length of time"),
        (Duration(unit="microseconds"), "0.5", "has parts of a microsecond"),
        (Duration(unit="days"), 10**12, "is longer than"),
        (Duration(unit="days"), "1e999999", "is longer than"),
        (Duration(), f"{10**12} days 0:00:00", "is longer than"),
        (Binary(), "text", "is no bytes"),
        (Binary(max_length=1), b"ab", "is longer than 1 bytes"),
        (IPAddress(), "10.0.0.0/24", "is no IP address"),
        (IPAddress(), "localhost", "is no IP address"),
        (IPAddress(), 2**32, "is no IP address"),
        (IPAddress(), True, "is no IP address"),
        (IPAddress(), "fe80::1%eth0", "names an interface"),
        (IPAddress(protocol="ipv4"), "::1", "is no address of ipv4"),
        (IPAddress(protocol="ipv6"), "10.0.0.1", "is no address of ipv6"),
    ],
)
def test_convert_refuses_and_says_why(converter, value, why) -> None:
    assert why in refused(converter, value)


@pytest.mark.parametrize(
    ("converter", "value", "shape", "written"),
    [
        (Float(), 2.5, column(Family.TEXT), "2.5"),
        (Float(), 2.0, column(Family.INTEGER), 2),
        (Float(), 0.1, column(Family.DECIMAL, places=2), decimal.Decimal("0.1")),
        (UUID(), ID, column(Family.UUID), str(ID)),
        (UUID(), ID, column(Family.TEXT, length=36), str(ID)),
        (UUID(), ID, column(Family.TEXT, length=32), ID.hex),
        (UUID(), ID, column(Family.BINARY), ID.bytes),
        (UUID(), ID, column(Family.BINARY, length=16), ID.bytes),
        (UUID(), ID, column(Family.BINARY, length=36), str(ID).encode()),
        (Time(), dt.time(9, 5), column(Family.TEXT), "09:05:00"),
        (Time(form="%H.%M"), dt.time(9, 5), column(Family.TEXT), "09.05"),
        (Duration(), length(days=4, hours=4), column(Family.DURATION), "100:00:00"),
        (Duration(), -length(milliseconds=5), column(Family.TIME), "-00:00:00.005000"),
        (Duration(unit="minutes"), length(hours=2), column(Family.INTEGER), 120),
        (Duration(unit="hours"), length(minutes=90), column(Family.FLOAT), 1.5),
        (Binary(), b"a", column(Family.BINARY, length=1), b"a"),
        (IPAddress(), "10.0.0.1", column(Family.INTEGER), 167_772_161),
        (IPAddress(), "::1", column(Family.BINARY, length=16), bytes(15) + b"\x01"),
        (IPAddress(), "::1", column(Family.ADDRESS), "::1"),
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
        (Float(), 2.5, column(Family.INTEGER), "is no whole number"),
        (Float(), 0.125, column(Family.DECIMAL, places=2), "more than the 2 decimal places"),
        (Float(), 0.125, column(Family.TEXT, length=4), "longer than the 4 characters"),
        (UUID(), ID, column(Family.TEXT, length=20), "longer than the 20 characters"),
        (UUID(), ID, column(Family.BINARY, length=8), "longer than the 8 bytes"),
        (Time(), dt.time(9, 5, 0, 5), column(Family.TIME, places=0), "parts of a second"),
        (Time(form="%H.%M"), dt.time(9, 5, 1), column(Family.TEXT), "would be read again as"),
        (Duration(), length(microseconds=5), column(Family.TIME, places=3), "parts of a second"),
        (Duration(unit="hours"), length(minutes=90), column(Family.INTEGER), "no whole number of"),
        (Binary(), b"ab", column(Family.BINARY, length=1), "longer than the 1 bytes"),
        (IPAddress(), "::1", column(Family.INTEGER), "is of version 6"),
        (IPAddress(), "::1", column(Family.BINARY, length=4), "longer than the 4 bytes"),
    ],
)
def test_back_refuses_what_would_be_read_as_something_else(converter, value, shape, why) -> None:
    assert why in not_back(converter, value, shape)


CONVERTERS = [
    Float(),
    Float(rounded=True),
    Key(null_as=0),
    UUID(),
    Time(),
    Duration(),
    Duration(unit="hours"),
    Binary(max_length=3),
    IPAddress(),
]


ANYTHING = st.one_of(
    st.text(), st.binary(), st.times(), st.timedeltas(), st.uuids(), st.ip_addresses().map(str),
    st.integers(), st.floats(), st.decimals(), st.booleans(), st.from_regex(r"-?\d+:\d\d:\d\d"),
    st.from_regex(r"P\d+DT\d+H"), st.dates(), st.datetimes(),
)  # fmt: skip


@pytest.mark.parametrize("converter", CONVERTERS, ids=str)
@given(value=ANYTHING)
def test_convert_answers_or_refuses_whatever_comes(converter, value) -> None:
    try:
        result = converter.convert(value)
    except ConversionError as refusal:
        told = str(refusal)
    else:
        told = "" if result is None else converter.normal(result)[:100]
    assert len(told) < 400


# --- the field's own -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "converter"),
    [
        ("level", Float()),
        ("token", UUID()),
        ("opens_at", Time()),
        ("lasts", Duration()),
        ("seal", Binary(max_length=20)),
        ("plan", Text(max_length=60)),
        ("photo", Text(max_length=60)),
        ("host", IPAddress(protocol="both", unpack_ipv4=False)),
    ],
)
def test_field_has_its_usual_converter_with_its_limits(name, converter) -> None:
    field = Gauge._meta.get_field(name)
    found = usual(field)
    assert found is not None
    assert isinstance(field, found.fits)
    assert found.fitted(field) == converter


def test_path_of_a_file_is_a_text() -> None:
    field = models.FilePathField(path="/srv", max_length=50)
    assert usual(field).fitted(field) == Text(max_length=50)


@pytest.mark.parametrize("converter", [Duration(unit="fortnights"), IPAddress(protocol="x")])
def test_option_that_isnt_known_is_told(converter) -> None:
    assert converter.misdeclared()


def test_numbers_are_read_as_lengths_of_time_with_a_unit_only() -> None:
    assert Family.INTEGER not in Duration().reads
    assert Family.INTEGER in Duration(unit="days").reads
    assert Family.DURATION in Duration(unit="days").reads


# --- the same in PostgreSQL ---------------------------------------------------------------


def within_sql(converter, shape, cast, value) -> None:
    """Of a float's last digits the SQL may refuse what Python then takes, never the other way."""
    found = by_sql(converter, shape, cast, value)
    if not isinstance(found, ConversionError):
        assert repr(converter.convert(value)) == repr(found)


@pytest.mark.django_db
@in_database
@given(
    st.floats(),
    st.decimals(allow_nan=False, allow_infinity=False) | st.just(decimal.Decimal("NaN")),
    st.integers(-(2**63), 2**63 - 1),
)
@example(0.1, decimal.Decimal("0.12345678901234567890"), 26_021_561_986_027_270)
@example(-1e300, decimal.Decimal(2**54 + 2), 26_021_561_986_027_272)
def test_floats_are_the_same_in_sql(long, exact, whole) -> None:
    same_in_sql(Float(), column(Family.FLOAT), "float8", long)
    for converter in (Float(), Float(rounded=True)):
        within_sql(converter, column(Family.INTEGER), "bigint", whole)
        if exact.is_nan() or -100 < exact.adjusted() < 100:
            within_sql(converter, column(Family.DECIMAL), "numeric", exact)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("family", "cast", "value", "made"),
    [
        # As the source writes it, not its binary neighbour.
        (Family.FLOAT, "float4", 0.1, "0.1"),
        (Family.FLOAT, "float8", -0.0, "0.0"),
        (Family.DECIMAL, "numeric", decimal.Decimal("-0.10"), "-0.1"),
        (Family.INTEGER, "bigint", 2**53, "9007199254740992.0"),
    ],
)
def test_float_is_made_in_sql(family, cast, value, made) -> None:
    assert repr(by_sql(Float(), column(family), cast, value)) == made


@pytest.mark.django_db
@in_database
@given(st.times(), st.binary(max_size=5), st.uuids(), st.integers(-1, 1))
def test_others_are_the_same_in_sql(time, data, id, key) -> None:
    same_in_sql(Time(), column(Family.TIME), "time", time)
    same_in_sql(Binary(max_length=3), column(Family.BINARY), "bytea", data)
    same_in_sql(Binary(), column(Family.BINARY), "bytea", data)
    same_in_sql(UUID(), column(Family.UUID), "uuid", id)
    same_in_sql(Key(null_as=0), column(Family.INTEGER), "integer", key)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "cast", "null_as"),
    [
        ("notes", "jsonb", {"it's": [1, True]}),
        ("notes", "jsonb", True),
        ("seal", "bytea", b"\x00'\\"),
        ("token", "uuid", ID),
        ("level", "float8", 1),
        ("opens_at", "time", dt.time(1, 2, 3, 4)),
        ("plan", "text", "it's 50%"),
    ],
)
def test_null_as_is_the_same_in_sql(name, cast, null_as) -> None:
    entity = Entity(
        name="gauges",
        source="gauge",
        target=Gauge,
        script="x",
        columns={name: Column(null_as=null_as)},
    )
    [value] = entity.values
    shape = column(usual(Gauge._meta.get_field(name)).makes)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {value.sql('x', shape)} FROM (SELECT NULL::{cast} AS x) s")
        [found] = cursor.fetchone()
    found = json.loads(found) if cast == "jsonb" else found
    assert value.normal(found) == value.normal(null_as)


@pytest.mark.django_db
def test_enum_is_a_text_in_sql() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TYPE mood AS ENUM ('fine', 'so so')")
    for converter in (Text(), Text(max_length=5), Text(max_length=3, cut=True)):
        same_in_sql(converter, column(Family.TEXT), "mood", "so so")
    same_in_sql(Choice({"fine": "good"}), column(Family.TEXT), "mood", "fine")


@pytest.mark.django_db
def test_end_of_a_day_is_refused_in_sql() -> None:
    assert isinstance(by_sql(Time(), column(Family.TIME), "time", "24:00:00"), Exception)


# --- the normal form ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "one", "other"),
    [
        (Family.FLOAT, 1, 1.0),
        (Family.FLOAT, 0.0, -0.0),
        (Family.BINARY, b"ab", memoryview(b"ab")),
        (Family.ADDRESS, "::ffff:10.0.0.1", "::ffff:a00:1"),
        (Family.DURATION, length(hours=24), length(days=1)),
        (Family.TIME, dt.time(1), dt.time(1, 0, 0, 0)),
        (Family.UUID, ID, str(ID)),
    ],
)
def test_same_value_has_one_form(family, one, other) -> None:
    assert normal.text(one, family) == normal.text(other, family)


def test_address_of_version_4_is_the_same_in_one_of_version_6() -> None:
    inet6 = SourceColumn("x", Family.ADDRESS, "inet6")
    assert IPAddress().back("10.0.0.1", inet6) == "::ffff:10.0.0.1"
    assert IPAddress().normal("::ffff:10.0.0.1") == IPAddress().normal("10.0.0.1")
    assert IPAddress().normal("::a00:1") != IPAddress().normal("10.0.0.1")
