"""What a converter writes back, in real columns of each engine: read again, it is the same."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrationsync.converters import (
    Boolean,
    Choice,
    ConversionError,
    Date,
    DateTime,
    Decimal,
    Email,
    Integer,
    IPAddress,
    Json,
    Phone,
    Text,
)
from migrationsync.converters.text import BLANKS
from migrationsync.entities import Entity
from migrationsync.source.writing import RowRefused, writing
from tests.migrationsync.shelf import Author

ENTITY = Entity(name="held", source="held", target=Author, script="held.ts", columns={})
BERLIN = "Europe/Berlin"
KEYS = itertools.count(1)

words = (
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
    .map(lambda text: text.strip(BLANKS))
    .filter(bool)
)
integers = st.integers(-(2**31), 2**31 - 1)
decimals = st.decimals(-(10**6), 10**6, places=2)
moments = st.datetimes(dt.datetime(1971, 1, 1), dt.datetime(2037, 1, 1), timezones=st.just(dt.UTC))
seconds = moments.map(lambda moment: moment.replace(microsecond=0))
days = st.dates(dt.date(1000, 1, 1))
jsons = st.recursive(
    st.booleans() | integers | words, lambda inner: st.lists(inner) | st.dictionaries(words, inner)
).filter(lambda value: "\\u0000" not in str(value))
emails = st.integers(0).map("ada{}@example.org".format)
phones = st.integers(10**6, 10**15 - 1).map("+{}".format)
addresses = st.ip_addresses().map(str)
uuids = st.uuids(version=4).map(str)

LOCAL = DateTime(zone=BERLIN)
ROUNDED = DateTime(zone=BERLIN, rounded=True)
GERMAN = DateTime(zone=BERLIN, form="%d.%m.%Y %H:%M:%S")
UNPACKED = IPAddress(unpack_ipv4=True)
CODES = Choice({1: "doctor", 2: "nurse", 0: "clerk"})
YES_NO = Boolean(yes="Y", no="N")
ALL = ("postgresql", "mysql", "sqlite")

# What it is, values, the column's type, and the engines that have it; whether the column has room
# for all of the values.
CASES = [
    (Text(max_length=20), words, "varchar(20)", ALL, True),
    (Text(max_length=20), words, "varchar(5)", ALL, False),
    (Text(max_length=20), words, "char(20)", ALL, True),
    (Text(max_length=20), words, "text", ALL, True),
    (Text(), words, "bytea", ("postgresql",), True),
    (Text(), words, "varbinary(200)", ("mysql",), True),
    (Text(), words, "blob", ("sqlite",), True),
    (Text(), words | integers.map(str), "integer", ALL, False),
    (Text(), uuids, "uuid", ("postgresql", "mysql"), True),
    (Email(), emails, "varchar(254)", ALL, True),
    (Phone("49"), phones, "varchar(40)", ALL, True),
    (Phone("49"), phones, "varchar(10)", ALL, False),
    (CODES, st.sampled_from(["doctor", "nurse", "clerk"]), "char(1)", ALL, True),
    (CODES, st.sampled_from(["doctor", "nurse", "clerk"]), "smallint", ALL, True),
    (Choice({1: "a", 0: "b"}), st.sampled_from("ab"), "boolean", ALL, True),
    (Json(), jsons, "text", ("postgresql", "sqlite"), True),
    (Json(), jsons, "longtext", ("mysql",), True),
    (Json(), jsons, "json", ALL, True),
    (Json(), jsons, "jsonb", ("postgresql",), True),
    (Integer(), integers, "integer", ALL, True),
    (Integer(), integers, "smallint", ALL, False),
    (Integer(), integers, "varchar(11)", ALL, True),
    (Integer(), integers, "decimal(12, 0)", ALL, True),
    (Integer(), st.integers(-(2**60), 2**60), "double precision", ALL, False),
    (Integer(), integers, "boolean", ALL, False),
    (Decimal(places=2, digits=9), decimals, "decimal(9, 2)", ALL, True),
    (Decimal(places=2, digits=9), decimals, "decimal(12, 4)", ALL, True),
    (Decimal(places=2, digits=9), decimals, "decimal(9, 1)", ALL, False),
    (Decimal(places=2, digits=9), decimals, "decimal(4, 2)", ALL, False),
    (Decimal(places=2, digits=9), decimals, "integer", ALL, False),
    (Decimal(places=2, digits=9), decimals, "double precision", ALL, True),
    (Decimal(places=2, digits=9), decimals, "varchar(12)", ALL, True),
    (Boolean(), st.booleans(), "boolean", ALL, True),
    (Boolean(), st.booleans(), "smallint", ALL, True),
    (Boolean(), st.booleans(), "bit(1)", ("mysql",), True),
    (YES_NO, st.booleans(), "char(1)", ALL, True),
    (Date(), days, "date", ALL, True),
    (Date(), days, "varchar(10)", ALL, True),
    (Date(form="%d.%m.%Y"), days, "varchar(10)", ALL, True),
    (Date(form="%d.%m.%y"), days, "varchar(10)", ALL, False),
    (Date(), days, "timestamp(0)", ("postgresql",), True),
    (Date(), days, "datetime", ("mysql", "sqlite"), True),
    (LOCAL, seconds, "timestamp(0)", ("postgresql",), False),
    (LOCAL, moments, "timestamp", ("postgresql",), False),
    (LOCAL, moments, "datetime(6)", ("mysql",), False),
    (LOCAL, moments, "datetime", ("mysql", "sqlite"), False),
    (DateTime(), moments, "timestamptz", ("postgresql",), True),
    (DateTime(), moments, "timestamp(6) NULL", ("mysql",), True),
    (DateTime(), seconds, "timestamp NULL", ("mysql",), True),
    (DateTime(), seconds, "varchar(19)", ALL, True),
    (DateTime(), moments, "varchar(26)", ALL, True),
    (GERMAN, moments, "varchar(19)", ALL, False),
    (DateTime(), moments, "date", ALL, False),
    (UNPACKED, addresses.map(UNPACKED.convert), "inet6", ("mysql",), True),
    (IPAddress(protocol="ipv4"), st.ip_addresses(v=4).map(str), "inet6", ("mysql",), True),
    (IPAddress(), addresses, "inet", ("postgresql",), True),
]  # fmt: skip


def column(run, source, declared):
    charset = " DEFAULT CHARSET utf8mb4" if source.vendor == "mysql" else ""
    run("DROP TABLE IF EXISTS held")
    run(f"CREATE TABLE held (id integer NOT NULL PRIMARY KEY, x {declared}){charset}")
    return source.table("held")


def read_again(writer, table, written):
    key = next(KEYS)
    with writer.attempt():
        writer.insert({"id": key, "x": written})
    return writer.read(table, ["id", "x"], keys=[key], limit=1).rows[0][1]


@pytest.mark.parametrize(
    ("converter", "values", "declared", "engines", "has_room"),
    CASES,
    ids=[f"{type(case[0]).__name__}-{case[2]}-{number}" for number, case in enumerate(CASES)],
)
def test_what_is_written_back_is_read_as_it_was(
    source, run, converter, values, declared, engines, has_room
) -> None:
    if source.vendor not in engines:
        return
    table = column(run, source, declared)

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(values)
    def law(value) -> None:
        try:
            written = converter.back(value, table.columns["x"])
            found = read_again(writer, table, written)
        except (ConversionError, RowRefused):
            if has_room:
                raise
            return
        assert converter.convert(found) == value

    with writing(source, ENTITY, table) as writer:
        law()


@pytest.mark.parametrize("converter", [ROUNDED, DateTime(rounded=True)])
def test_parts_of_a_second_are_left_out_where_that_is_declared(source, run, converter) -> None:
    declared = {"postgresql": "timestamp(0)", "mysql": "datetime", "sqlite": "varchar(26)"}
    table = column(run, source, declared[source.vendor])
    moment = dt.datetime(2024, 5, 2, 10, 0, 0, 999_999, tzinfo=dt.UTC)
    written = converter.back(moment, table.columns["x"])
    with writing(source, ENTITY, table) as writer:
        found = converter.convert(read_again(writer, table, written))
    kept = 999_999 if source.vendor == "sqlite" else 0
    assert found == moment.replace(microsecond=kept)


def test_moment_of_any_zone_is_written_as_that_moment(source, run) -> None:
    declared = {"postgresql": "timestamptz", "mysql": "timestamp NULL"}.get(source.vendor)
    if declared is None:
        # SQLite has no type for a moment.
        return
    table = column(run, source, declared)
    noon = dt.datetime(2024, 5, 2, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    with writing(source, ENTITY, table) as writer:
        assert read_again(writer, table, noon) == noon
