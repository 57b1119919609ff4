from __future__ import annotations

import datetime as dt
import tracemalloc

import pytest
from django.db import DatabaseError, connections

from config.legacy import legacy_database
from migrationsync.columns import Family
from migrationsync.converters import DateTime
from migrationsync.entities import Column
from migrationsync.source import SchemaDrift, Source, SourceUnreachable
from tests import needs
from tests.migrationsync.legacies import connected
from tests.migrationsync.test_entities import authors, books

LONG = {"postgresql": "text", "mysql": "longtext", "sqlite": "text"}
TIMESTAMP = {"postgresql": "timestamp", "mysql": "datetime", "sqlite": "datetime"}


@pytest.fixture
def author(source, run):
    """A table of authors with the keys 10, 20 … 500."""
    run(
        "CREATE TABLE author (id integer NOT NULL PRIMARY KEY, name varchar(40), motto "
        f"{LONG[source.vendor]}, born varchar(10))"
    )
    for number in range(10, 501, 10):
        run("INSERT INTO author VALUES (%s, %s, '', NULL)", [number, f"author {number}"])
    return source.table("author")


def keys(batches):
    return [[row[0] for row in batch.rows] for batch in batches]


# --- what is there ------------------------------------------------------------------


def test_table_is_read_from_the_catalogue(source, run) -> None:
    run(
        "CREATE TABLE mixed (id integer NOT NULL PRIMARY KEY, code varchar(9) NOT NULL UNIQUE, "
        f"fee decimal(10, 4), day date, seen {TIMESTAMP[source.vendor]}, "
        f"story {LONG[source.vendor]}, weight double precision)"
    )
    table = source.table("mixed")
    families = {name: column.family for name, column in table.columns.items()}
    assert families == {
        "id": Family.INTEGER,
        "code": Family.TEXT,
        "fee": Family.DECIMAL,
        "day": Family.DATE,
        "seen": Family.DATETIME,
        "story": Family.TEXT,
        "weight": Family.FLOAT,
    }
    assert table.unique == {"id", "code"}
    assert (table.columns["code"].length, table.columns["fee"].places) == (9, 4)
    assert not table.columns["code"].is_nullable
    assert table.columns["fee"].is_nullable
    assert source.table("nothing") is None


def test_key_of_two_columns_is_unique_in_neither(source, run) -> None:
    run("CREATE TABLE pair (a integer NOT NULL, b integer NOT NULL, PRIMARY KEY (a, b))")
    assert source.table("pair").unique == frozenset()


def test_view_is_a_table_too(source, run, author) -> None:
    run("CREATE VIEW writer AS SELECT id, name, motto, born FROM author")
    view = source.table("writer")
    assert view.is_view
    assert source.check([authors(source="writer")]) == {"authors": view}
    assert source.count(view) == 50


# --- what isn't as declared ------------------------------------------------------------


def test_tables_as_declared_pass(source, author) -> None:
    assert source.check([authors()]) == {"authors": author}


def test_drift_names_everything_before_the_first_row(source, run) -> None:
    run("CREATE TABLE author (id integer NOT NULL PRIMARY KEY, full_name varchar(9), born integer)")
    declared = authors(
        columns={"name": Column("fullname"), "motto": Column(), "born_on": Column("born")},
        changed_at="modified",
    )
    with pytest.raises(SchemaDrift) as caught:
        source.check([declared, books()])
    problems = {(each.table, each.column): str(each) for each in caught.value.drifts}
    assert set(problems) == {
        ("author", "fullname"),
        ("author", "motto"),
        ("author", "modified"),
        ("author", "born"),
        ("book", ""),
    }
    assert "Was it renamed to “full_name”?" in problems["author", "fullname"]
    assert "which Date doesn't read" in problems["author", "born"]
    assert "isn't there" in problems["book", ""]


@pytest.mark.parametrize(
    ("key", "problem"), [("id varchar(9) PRIMARY KEY", "no integer"), ("id integer", "twice")]
)
def test_drift_of_the_key_is_named(source, run, key, problem) -> None:
    run(f"CREATE TABLE author ({key}, name varchar(9), motto varchar(9), born date)")
    with pytest.raises(SchemaDrift, match=problem):
        source.check([authors()])


# --- batches -----------------------------------------------------------------------------


def test_batches_go_by_the_key(source, author) -> None:
    found = keys(source.batches(author, ["id", "name"], size=20))
    assert found == [list(range(10, 201, 10)), list(range(210, 401, 10)), list(range(410, 501, 10))]


def test_batches_go_on_behind_a_key_up_to_another(source, author) -> None:
    found = keys(source.batches(author, ["id"], after=100, until=140, size=3))
    assert found == [[110, 120, 130], [140]]
    assert source.read(author, ["id"], after=500, limit=3) is None


def test_rows_that_come_meanwhile_are_no_reason_to_miss_others(source, run, author) -> None:
    found = []
    for batch in source.batches(author, ["id"], size=20):
        found += keys([batch])[0]
        run("DELETE FROM author WHERE id = %s", [batch.rows[0][0]])
        run("INSERT INTO author (id) VALUES (%s)", [batch.rows[0][0] - 1])
    assert found == list(range(10, 501, 10))


def test_batch_ends_early_where_texts_are_long(source, run, author) -> None:
    run("UPDATE author SET motto = %s WHERE id > 100 AND id <= 200", ["x" * 10_000])
    sizes = [
        (len(batch.rows), batch.is_cut)
        for batch in source.batches(author, ["id", "motto"], size=40, max_bytes=35_000)
    ]
    # Ten short and three long; then as few as fitted before; then more again.
    assert sizes[:4] == [(13, True), (3, True), (3, False), (6, False)]
    assert sum(rows for rows, _ in sizes) == 50


def test_row_that_is_larger_than_a_batch_may_be_comes_alone(source, run, author) -> None:
    run("UPDATE author SET motto = %s WHERE id = 20", ["x" * 50_000])
    batches = source.batches(author, ["id", "motto"], size=50, max_bytes=100)
    assert keys(batches)[:2] == [[10], [20]]


def test_memory_stays_flat_however_long_the_texts_are(source, run, author) -> None:
    run("UPDATE author SET motto = %s", ["x" * 1_000_000])
    table = source.table("author")
    tracemalloc.start()
    try:
        for batch in source.batches(table, ["id", "motto"], size=50, max_bytes=2_000_000):
            assert len(batch.rows) <= 2
            del batch
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 15_000_000


def test_times_come_as_the_source_wrote_them(source, run) -> None:
    run(f"CREATE TABLE seen (id integer PRIMARY KEY, at {TIMESTAMP[source.vendor]}, day date)")
    run("INSERT INTO seen VALUES (1, '2024-03-31 02:30:00', '2024-03-31')")
    row = source.read(source.table("seen"), ["id", "at", "day"], limit=9).rows[0]
    assert DateTime(zone="Europe/Berlin").convert(row[1]) == dt.datetime(
        2024, 3, 31, 1, 30, tzinfo=dt.UTC
    )
    assert str(row[2]) == "2024-03-31"


def test_dates_that_never_were_come_as_they_are(source, run) -> None:
    run(f"CREATE TABLE seen (id integer PRIMARY KEY, at {TIMESTAMP[source.vendor]}, day date)")
    odd = {
        "postgresql": ("infinity", "-infinity"),
        "mysql": ("0000-00-00 00:00:00", "0000-00-00"),
        "sqlite": ("0000-00-00 00:00:00", "31.3.2024"),
    }[source.vendor]
    run("INSERT INTO seen VALUES (1, %s, %s)", odd)
    run("INSERT INTO seen VALUES (2, '2024-01-01 00:00:00', '2024-01-01')")
    rows = source.read(source.table("seen"), ["id", "at", "day"], limit=9).rows
    assert tuple(map(str, rows[0][1:])) == odd
    assert str(rows[1][2]) == "2024-01-01"


def test_moments_come_with_their_zone(source, run) -> None:
    if source.vendor == "sqlite":
        # SQLite has no type for a moment: every time is a clock's.
        return
    kind = {"postgresql": "timestamptz", "mysql": "timestamp NULL"}[source.vendor]
    run(f"CREATE TABLE seen (id integer PRIMARY KEY, at {kind})")
    run("INSERT INTO seen VALUES (1, '2024-06-01 12:00:00'), (2, NULL)")
    rows = source.read(source.table("seen"), ["id", "at"], limit=9).rows
    assert rows == [(1, dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)), (2, None)]


def test_count_and_high_water(source, run, author) -> None:
    assert source.high_water(author, "id") == 500
    assert source.count(author) == 50
    run("DELETE FROM author")
    assert source.high_water(author, "id") is None


# --- only reads, and what happens without the source -------------------------------------


def test_session_refuses_to_write(source, run, author) -> None:
    with pytest.raises(DatabaseError, match=r"(?i)read.?only"), source.session() as connection:
        connection.cursor().execute("DELETE FROM author")
    assert source.count(author) == 50
    # Its owner may, right after, over the same connection.
    run("DELETE FROM author WHERE id = 10")
    assert source.count(author) == 49


def test_wrong_statement_is_not_a_source_that_is_away(source) -> None:
    with pytest.raises(DatabaseError), source.session() as connection:
        connection.cursor().execute("SELECT * FROM nothing_of_the_kind")


@pytest.mark.parametrize(
    "url",
    [
        "postgres://nobody:secret@127.0.0.1:1/legacy",
        pytest.param("mysql://nobody:secret@127.0.0.1:1/legacy", marks=needs.mysql),
        "sqlite:////nowhere/at/all.sqlite3",
    ],
)
def test_source_that_is_away_is_named_with_what_to_do(url, django_db_blocker) -> None:
    with django_db_blocker.unblock(), connected("away", legacy_database(url)):
        with pytest.raises(SourceUnreachable) as caught:
            Source("away").table("author")
        message = str(caught.value)
        assert "“away”" in message
        assert "doesn't answer" in message
        assert "secret" not in message


def test_source_that_goes_away_is_found_again(source, author) -> None:
    if source.vendor == "sqlite":
        # A file: nobody can end its connection.
        return
    batches = source.batches(author, ["id"], size=20)
    first = next(batches)
    connection = connections[source.alias]
    with connected("killer", connection.settings_dict), connections["killer"].cursor() as cursor:
        if source.vendor == "postgresql":
            cursor.execute(
                "SELECT pg_terminate_backend(%s)", [connection.connection.info.backend_pid]
            )
        else:
            cursor.execute(f"KILL {connection.connection.thread_id()}")
    with pytest.raises(SourceUnreachable):
        next(batches)
    rest = keys(source.batches(author, ["id"], after=first.last, size=50))
    assert rest == [list(range(210, 501, 10))]
