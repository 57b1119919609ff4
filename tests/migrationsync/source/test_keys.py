"""Keys that no row can be found by: null, twice, no integer, too great."""

from __future__ import annotations

import pytest
from django.db import IntegrityError

from migrationsync.dispatch.legacy.tables import OFFICE
from migrationsync.dispatch.models import Office
from migrationsync.entities import Column
from migrationsync.source import SchemaDrift
from migrationsync.source.keys import GREATEST
from operations import runner
from tests.migrationsync.syncing import begin, sync, sync_to_end
from tests.migrationsync.test_entities import authors

REST = "name varchar(40), motto varchar(40), born date"


def check_all(source, entity):
    """As a run does before its first step."""
    source.check_keys([entity], source.check([entity]))


def test_key_that_may_be_null_is_refused(source, run) -> None:
    run(f"CREATE TABLE author (id integer UNIQUE, {REST})")
    with pytest.raises(SchemaDrift, match=r"author.id is the key, but may be null. Make it NOT N"):
        source.check([authors()])


def test_sqlite_key_of_another_name_than_integer_may_be_null(source, run) -> None:
    if source.vendor != "sqlite":
        return
    run(f"CREATE TABLE author (id bigint PRIMARY KEY, {REST})")
    run("INSERT INTO author (id) VALUES (NULL), (NULL)")
    with pytest.raises(SchemaDrift, match="may be null"):
        source.check([authors()])


@pytest.mark.parametrize(
    "key", ["id integer PRIMARY KEY", "id bigint NOT NULL PRIMARY KEY", "id int NOT NULL UNIQUE"]
)
def test_key_that_is_required_and_unique_passes(source, run, key) -> None:
    run(f"CREATE TABLE author ({key}, {REST})")
    check_all(source, authors())


def test_sqlite_table_without_row_numbers_has_no_null_key(source, run) -> None:
    if source.vendor != "sqlite":
        return
    run(f"CREATE TABLE author (id int PRIMARY KEY, {REST}) WITHOUT ROWID")
    with pytest.raises(IntegrityError):
        run("INSERT INTO author (id) VALUES (NULL)")
    check_all(source, authors())


def test_unique_index_that_is_not_valid_promises_nothing(source, run) -> None:
    if source.vendor != "postgresql":
        return
    run(f"CREATE TABLE author (id integer NOT NULL, {REST})")
    run("INSERT INTO author (id) VALUES (1), (1)")
    with pytest.raises(IntegrityError):
        run("CREATE UNIQUE INDEX CONCURRENTLY half ON author (id)")
    with pytest.raises(SchemaDrift, match="may hold one value twice"):
        source.check([authors()])


# --- views --------------------------------------------------------------------------------


@pytest.fixture
def view(source, run):
    """A function that makes a view of these keys."""

    def made(*keys):
        run(f"CREATE TABLE held (id bigint, {REST})")
        for key in keys:
            run("INSERT INTO held (id) VALUES (%s)", [key])
        run("CREATE VIEW author AS SELECT * FROM held")
        return source.check([authors()])["authors"]

    return made


def test_view_with_good_keys_passes(source, view) -> None:
    view(1, 2, 3)
    check_all(source, authors())


def test_keys_that_are_null_in_a_view_are_refused(source, view) -> None:
    view(1, None, None)
    with pytest.raises(SchemaDrift, match="null in 2 rows"):
        check_all(source, authors())


def test_keys_that_are_in_several_rows_of_a_view_are_named(source, view) -> None:
    view(1, 7, 7, 8, 8, 8)
    with pytest.raises(SchemaDrift, match="7 is in several rows"):
        check_all(source, authors())


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_key_that_comes_twice_is_refused_while_reading(source, view, limit) -> None:
    table = view(5, 5, 6)
    with pytest.raises(SchemaDrift, match="5 is in several rows"):
        source.read(table, ["id", "name"], limit=limit)


def test_key_that_comes_twice_is_refused_where_a_batch_is_cut(source, view, run) -> None:
    view(1, 2, 2)
    long = "text" if source.vendor != "mysql" else "longtext"
    run("DROP VIEW author")
    run(f"ALTER TABLE held ADD story {long}")
    run("UPDATE held SET story = 'a story of some length'")
    run("CREATE VIEW author AS SELECT * FROM held")
    table = source.table("author")
    with pytest.raises(SchemaDrift, match="2 is in several rows"):
        source.read(table, ["id", "story"], limit=9, max_bytes=45)


def test_view_is_read_to_its_end(source, view) -> None:
    table = view(*range(1, 8))
    found = [[row[0] for row in batch.rows] for batch in source.batches(table, ["id"], size=3)]
    assert found == [[1, 2, 3], [4, 5, 6], [7]]


def test_run_over_a_view_with_a_key_twice_fails_before_the_first_row(each_dispatch) -> None:
    each_dispatch.add_offices(1, 2, 3)
    each_dispatch.legacy(f"ALTER TABLE {OFFICE.name} RENAME TO kept")
    again = "SELECT * FROM kept WHERE id = 3"
    each_dispatch.legacy(f"CREATE VIEW {OFFICE.name} AS SELECT * FROM kept UNION ALL {again}")
    job = each_dispatch.job(entities_to_sync=["offices"], max_records_per_batch=1)
    run = sync(job, "load")
    assert (run.outcome, job.error_code) == ("failed", "schema_drift")
    assert "dispatch_office.id is the key, but 3 is in several rows." in job.error_message
    assert "nothing was read" in job.error_message
    assert not Office.objects.exists()


def test_key_that_comes_a_second_time_in_the_middle_fails_the_run(each_dispatch) -> None:
    each_dispatch.add_offices(1, 2, 3, 4)
    each_dispatch.legacy(f"ALTER TABLE {OFFICE.name} RENAME TO kept")
    again = "SELECT * FROM kept WHERE name = 'again'"
    each_dispatch.legacy(f"CREATE VIEW {OFFICE.name} AS SELECT * FROM kept UNION ALL {again}")
    job = each_dispatch.job(entities_to_sync=["offices"], max_records_per_batch=2)
    run = begin(job, "load")
    runner.run("sync", run.checkpoints.get().pk, budget_seconds=0)
    each_dispatch.legacy("UPDATE kept SET name = 'again' WHERE id = 4")
    sync_to_end(job)
    assert job.error_code == "schema_drift"
    assert "no longer as declared, so it wasn't read any further" in job.error_message
    assert "4 is in several rows" in job.error_message


# --- what isn't an integer of 64 bits -------------------------------------------------------


def test_key_beyond_64_bits_is_named_with_a_way_out(source, run) -> None:
    if source.vendor != "mysql":
        return
    run(f"CREATE TABLE author (id bigint unsigned NOT NULL PRIMARY KEY, {REST})")
    run("INSERT INTO author (id) VALUES (%s)", [GREATEST])
    check_all(source, authors())
    run("INSERT INTO author (id) VALUES (%s)", [GREATEST + 1])
    problem = r"author.id is the key, but holds 9,223,372,036,854,775,808.*declare a view"
    with pytest.raises(SchemaDrift, match=problem):
        check_all(source, authors())
    with pytest.raises(SchemaDrift, match=problem):
        source.read(source.table("author"), ["id"], limit=9)


@pytest.mark.parametrize(("value", "shown"), [("'ten'", "ten"), ("2.5", "2.5")])
def test_sqlite_key_that_holds_no_integer_is_named(source, run, value, shown) -> None:
    if source.vendor != "sqlite":
        return
    run(f"CREATE TABLE author (id int NOT NULL PRIMARY KEY, {REST})")
    run(f"INSERT INTO author (id) VALUES (1), ({value}), (3)")
    problem = f"author.id is the key, but holds '?{shown}'?: no integer. Mend it"
    with pytest.raises(SchemaDrift, match=problem):
        check_all(source, authors())
    with pytest.raises(SchemaDrift, match=problem):
        source.read(source.table("author"), ["id"], limit=9)


def test_key_of_texts_is_refused_with_a_way_out(source, run) -> None:
    run(f"CREATE TABLE author (id varchar(9) NOT NULL PRIMARY KEY, {REST})")
    with pytest.raises(
        SchemaDrift, match=r"no integer\. Declare another column as the key.*row_number"
    ):
        source.check([authors()])


def test_sqlite_view_with_a_computed_key_is_read(source, run) -> None:
    if source.vendor != "sqlite":
        return
    run(f"CREATE TABLE pair (a integer, b integer, {REST}, PRIMARY KEY (a, b))")
    run("INSERT INTO pair (a, b, name) VALUES (1, 2, 'Ada'), (1, 3, 'Eve')")
    for key in ("a * 1000 + b", "CAST(a * 1000 + b AS integer)"):
        run(f"CREATE VIEW author AS SELECT {key} AS id, upper(name) AS name, motto, born FROM pair")
        check_all(source, authors())
        found = source.read(source.table("author"), ["id", "name"], limit=9)
        assert found.rows == [(1002, "ADA"), (1003, "EVE")]
        run("DROP VIEW author")


def test_sqlite_view_with_a_computed_key_that_is_no_integer_is_refused(source, run) -> None:
    if source.vendor != "sqlite":
        return
    run(f"CREATE TABLE pair (a integer, b integer, {REST})")
    run("INSERT INTO pair (a, b) VALUES (1, 2)")
    run("CREATE VIEW author AS SELECT a || '-' || b AS id, name, motto, born FROM pair")
    with pytest.raises(SchemaDrift, match="holds '1-2': no integer"):
        check_all(source, authors())


def test_name_with_a_percent_sign_is_a_name(source, run) -> None:
    quote = source.connection.ops.quote_name
    key, name = quote("50%s"), quote("half%off")
    run(f"CREATE TABLE {quote('all%d')} ({key} integer PRIMARY KEY, {name} varchar(9))")
    table = source.table("all%d")
    entity = authors(source="all%d", key="50%s", columns={"name": Column("half%off")})
    check_all(source, entity)
    run(f"INSERT INTO {quote('all%d')} VALUES (1, 'x'), (2, 'y')")
    found = source.read(table, ["50%s", "half%off"], after=1, until=9, keys=[1, 2], limit=9)
    assert found.rows == [(2, "y")]
    assert source.high_water(table, "50%s") == 2
    assert source.count(table) == 2
