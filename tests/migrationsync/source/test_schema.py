"""Types by what they are made of, and columns of no type."""

from __future__ import annotations

import datetime as dt

import pytest

from migrationsync.columns import Family
from tests.migrationsync.test_entities import authors


def families(table):
    return {name: column.family for name, column in table.columns.items()}


@pytest.fixture
def kinds(source, run):
    """Types of PostgreSQL that are made here."""
    if source.vendor != "postgresql":
        pytest.skip("only PostgreSQL has them")
    made = {
        "mood": "TYPE mood AS ENUM ('sad', 'happy')",
        "code": "DOMAIN code AS varchar(12) NOT NULL",
        "short_code": "DOMAIN short_code AS code CHECK (length(VALUE) < 5)",
        "fee": "DOMAIN fee AS numeric(10, 4)",
        "number": "DOMAIN number AS bigint",
    }
    for statement in made.values():
        run(f"CREATE {statement}")
    yield
    for statement in reversed(made.values()):
        kind, name = statement.split()[:2]
        run(f"DROP {kind} {name} CASCADE")


def test_enums_and_domains_are_read_as_what_they_are_made_of(source, run, kinds) -> None:
    run(
        "CREATE TABLE author (id number PRIMARY KEY, name short_code, motto mood, cost fee, "
        "born date)"
    )
    run("INSERT INTO author VALUES (1, 'Ada', 'happy', 1.5, '1815-12-10')")
    table = source.check([authors()])["authors"]
    assert families(table) == {
        "id": Family.INTEGER,
        "name": Family.TEXT,
        "motto": Family.TEXT,
        "cost": Family.DECIMAL,
        "born": Family.DATE,
    }
    assert (table.columns["name"].length, table.columns["cost"].places) == (12, 4)
    assert not table.columns["name"].is_nullable
    assert table.columns["name"].declared == "short_code"
    found = source.read(table, ["id", "name", "motto", "born"], limit=9)
    assert found.rows == [(1, "Ada", "happy", dt.date(1815, 12, 10))]


@pytest.mark.parametrize(
    ("declared", "family"),
    [
        ("INT8", Family.INTEGER),
        ("UNSIGNED BIG INT", Family.INTEGER),
        ("int(11)", Family.INTEGER),
        ("CHARACTER VARYING(20)", Family.TEXT),
        ("NATIVE CHARACTER(70)", Family.TEXT),
        ("LongText", Family.TEXT),
        ("TINYBLOB", Family.BINARY),
        ("DOUBLE PRECISION", Family.FLOAT),
        ("DECIMAL(10, 5)", Family.DECIMAL),
        ("timestamp without time zone", Family.DATETIME),
        ("time", Family.TIME),
        ("STRING", Family.OTHER),
        ("MONEY", Family.OTHER),
        ("", Family.OTHER),
    ],
)
def test_types_of_sqlite_go_by_its_own_rules(source, run, declared, family) -> None:
    if source.vendor != "sqlite":
        return
    run(f"CREATE TABLE author (id integer PRIMARY KEY, x {declared})")
    table = source.table("author")
    assert table.columns["x"].family is family
    assert table.columns["x"].declared == declared
    assert table.is_untyped("x") == (family is Family.OTHER)


def test_lengths_of_sqlite_are_read(source, run) -> None:
    if source.vendor != "sqlite":
        return
    run("CREATE TABLE a (id integer PRIMARY KEY, x CHARACTER VARYING(20), y DECIMAL(10, 5))")
    columns = source.table("a").columns
    assert (columns["x"].length, columns["y"].places) == (20, 5)


def test_sqlite_columns_whose_type_says_nothing_are_read_by_any_converter(source, run) -> None:
    if source.vendor != "sqlite":
        return
    run("CREATE TABLE author (id integer PRIMARY KEY, name STRING, motto, born MONEY)")
    run("INSERT INTO author VALUES (1, 'Ada', 'Think', '1815-12-10')")
    entity = authors()
    table = source.check([entity])["authors"]
    [row] = source.read(table, entity.reads, limit=9).rows
    assert entity.convert(row) == (1, "Ada", "Think", dt.date(1815, 12, 10))


def test_strict_table_of_sqlite_holds_what_it_says(source, run) -> None:
    if source.vendor != "sqlite":
        return
    run("CREATE TABLE author (id integer NOT NULL PRIMARY KEY, name text, motto any) STRICT")
    table = source.table("author")
    assert table.loose == {"motto"}


def test_generated_columns_are_there(source, run) -> None:
    texts = {"mysql": "concat(name, '!')"}.get(source.vendor, "name || '!'")
    run(
        "CREATE TABLE author (id integer NOT NULL PRIMARY KEY, name varchar(9), born date, "
        f"motto varchar(10) GENERATED ALWAYS AS ({texts}) STORED)"
    )
    run("INSERT INTO author (id, name) VALUES (1, 'Ada')")
    table = source.check([authors()])["authors"]
    assert table.columns["motto"].family is Family.TEXT
    assert table.columns["motto"].length == 10
    assert table.columns["motto"].has_default
    assert source.read(table, ["id", "motto"], limit=9).rows == [(1, "Ada!")]
