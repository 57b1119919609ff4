from __future__ import annotations

import pytest
from django.db import connection, connections

from migrationsync.checksums import source_sql, target_sql
from migrationsync.columns import Family
from migrationsync.deleted import deleted_sql
from migrationsync.dispatch.models import Office
from migrationsync.entities import Column, Entity, entities
from migrationsync.source.schema import read_table
from tests.migrationsync.comparing.offices import NOON
from tests.migrationsync.shelf import Author

TYPES = {
    "postgresql": {"long": "text", "local": "timestamp", "bytes": "bytea", "bit": "boolean"},
    "mysql": {
        "long": "longtext CHARSET utf8mb4",
        "local": "datetime(6)",
        "bytes": "blob",
        "bit": "bit(1)",
    },
    "sqlite": {"long": "text", "local": "datetime", "bytes": "blob", "bit": "boolean"},
}


def entity(**kwargs):
    options = {"name": "a", "source": "a", "target": Author, "script": "a.ts"}
    return Entity(**options | kwargs)


def answered(source, statement):
    with connections[source.alias].cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


# The type of a column, and values that are all different.
VALUES = [
    ("{long}", [None, "", "NULL", "a", "a ", "A", "ä", "a\x1fb", "\x1e", "100 %s"]),
    ("double precision", [None, 0.1, 0.30000000000000004, 0.3, 1e300]),
    ("{local}", [None, "2024-01-01 00:00:00", "2024-01-01 00:00:00.000001"]),
    ("date", [None, "2024-01-01", "0999-01-01"]),
    ("decimal(12, 4)", [None, "0.0001", "1.5", "-1.5", "99999999.9999"]),
    ("{bytes}", [None, b"", b"\x00", b"\xff", b"a"]),
    ("bigint", [None, 0, 1, -1, 2**62]),
]


@pytest.mark.parametrize(("kind", "values"), VALUES, ids=[kind for kind, _ in VALUES])
def test_every_change_of_a_value_changes_the_checksum(source, run, kind, values) -> None:
    kinds = TYPES[source.vendor]
    run(f"CREATE TABLE a (id integer NOT NULL PRIMARY KEY, v {kind.format(**kinds)})")
    declared = entity(columns={"name": Column("v")})
    checksum = source_sql(declared, source.table("a"), source.vendor)
    found = []
    for value in values:
        run("DELETE FROM a")
        run("INSERT INTO a VALUES (1, %s)", [value])
        found += answered(source, f"SELECT {checksum} FROM a")
        assert answered(source, f"SELECT {checksum} FROM a") == found[-1:]
    assert len(set(found)) == len(values)
    assert all(len(each) == 32 for (each,) in found)


def test_change_of_long_values_changes_the_checksum(source, run) -> None:
    """Each is longer than half of what MariaDB takes for one value."""
    long = TYPES[source.vendor]["long"]
    run(f"CREATE TABLE a (id integer NOT NULL PRIMARY KEY, v {long}, w {long})")
    declared = entity(target=Office, columns={"name": Column("v"), "city": Column("w")})
    checksum = source_sql(declared, source.table("a"), source.vendor)
    text = "it's " * 1_800_000
    run("INSERT INTO a VALUES (1, %s, NULL)", [text])
    found = answered(source, f"SELECT {checksum} FROM a")
    for column, value in (("w", text), ("w", text + "x"), ("v", text + "y")):
        run(f"UPDATE a SET {column} = %s", [value])
        found += answered(source, f"SELECT {checksum} FROM a")
    assert (None,) not in found
    assert len(set(found)) == 4


def test_key_and_marks_are_in_the_checksum(source, run) -> None:
    run("CREATE TABLE a (id integer NOT NULL PRIMARY KEY, v integer, gone integer, n integer)")
    run("INSERT INTO a VALUES (1, 1, 0, 0), (2, 1, 0, 0), (3, 1, 0, 5)")
    declared = entity(columns={"name": Column("v")}, deleted="gone")
    checksum = source_sql(declared, source.table("a"), source.vendor, "x.")
    before = dict(answered(source, f"SELECT id, {checksum} FROM a x"))
    run("UPDATE a SET gone = 1 WHERE id = 1")
    run("UPDATE a SET n = 9 WHERE id = 3")
    after = dict(answered(source, f"SELECT id, {checksum} FROM a x"))
    assert len(set(before.values())) == 3
    assert after == before | {1: after[1]}
    assert after[1] != before[1]


@pytest.mark.django_db
def test_session_has_no_say_in_the_targets_checksum() -> None:
    Office.objects.create(name="Köln", opened_on="2020-02-29", created_at=NOON, updated_at=NOON)
    statement = f"SELECT {target_sql(entities.get('offices'), 't.')} FROM offices t"
    with connection.cursor() as cursor:
        cursor.execute(statement)
        before = cursor.fetchone()
        cursor.execute("SET LOCAL TimeZone = 'Asia/Tokyo'; SET LOCAL DateStyle = 'German'")
        cursor.execute("SET LOCAL extra_float_digits = 0; SET LOCAL bytea_output = 'escape'")
        cursor.execute(statement)
        assert cursor.fetchone() == before
        cursor.execute("UPDATE offices SET opened_on = '2020-03-01'")
        cursor.execute(statement)
        assert cursor.fetchone() != before


MARKS = [
    ("{long}", [None, "", "0", "n", "No", " f ", "false", "0000-00-00 00:00:00", "1", "y", "x"]),
    ("{local}", [None, "2024-01-01 00:00:00"]),
    ("integer", [None, 0, 1, 2]),
    ("decimal(4, 2)", [None, "0.00", "0.50"]),
    ("{bit}", [None, False, True]),
    ("{bytes}", [None, b"\x00", b"\x01"]),
]


@pytest.mark.parametrize(("kind", "values"), MARKS, ids=[kind for kind, _ in MARKS])
def test_marked_rows_are_the_same_in_sql_and_in_python(source, run, kind, values) -> None:
    kinds = TYPES[source.vendor]
    run(f"CREATE TABLE a (id integer NOT NULL PRIMARY KEY, v {kind.format(**kinds)})")
    for number, value in enumerate(values):
        run("INSERT INTO a VALUES (%s, %s)", [number, value])
    table = read_table(source.connection, "a")
    assert table.columns["v"].family is not Family.OTHER
    declared = entity(columns={}, deleted="v")
    condition = deleted_sql(declared, table, source.vendor, "x.")
    found = answered(
        source, f"SELECT id, v, CASE WHEN {condition} THEN 1 ELSE 0 END FROM a x ORDER BY id"
    )
    assert [bool(is_deleted) for *_, is_deleted in found] == [
        Entity.is_deleted(value) for _, value, _ in found
    ]
    nulls = answered(source, f"SELECT count(*) FROM a x WHERE ({condition}) IS NULL")
    assert nulls == [(0,)]


def test_without_a_mark_there_is_no_condition(source, run) -> None:
    run("CREATE TABLE a (id integer NOT NULL PRIMARY KEY)")
    assert deleted_sql(entity(columns={}), source.table("a"), source.vendor) is None
