"""What goes wrong at the source: waited for, refused, or tried smaller; never taken for the
target's."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from django.conf import settings
from django.db import DatabaseError, OperationalError, connections

from config.legacy import legacy_database
from migrationsync.dispatch.legacy.tables import OFFICE
from migrationsync.dispatch.models import Office
from migrationsync.models import QuarantinedRow
from migrationsync.source import (
    SchemaDrift,
    Source,
    SourceDenied,
    SourceFailed,
    SourceInterrupted,
    SourceUnreachable,
)
from operations.database_errors import is_contention, is_disconnect
from tests import needs
from tests.migrationsync.legacies import connected
from tests.migrationsync.syncing import Dispatch, begin, sync, sync_to_end
from tests.migrationsync.test_entities import authors

READER = "encore_test_reader"


@pytest.fixture
def reader(source, run):
    """The source as a user sees it who has only the rights that `grant` gave, and `grant`."""
    if source.vendor == "sqlite":
        pytest.skip("a file has no users")
    user = READER if source.vendor == "postgresql" else f"'{READER}'@'%'"
    login = "LOGIN PASSWORD 'right'" if source.vendor == "postgresql" else "IDENTIFIED BY 'right'"
    kind = "ROLE" if source.vendor == "postgresql" else "USER"
    config = {**source.connection.settings_dict, "USER": READER, "PASSWORD": "right"}
    with contextlib.suppress(Exception):
        run(f"DROP OWNED BY {READER}")
    run(f"DROP {kind} IF EXISTS {user}")
    run(f"CREATE {kind} {user} {login}")
    try:
        with connected("reader", config):
            yield Source("reader"), lambda what: run(f"GRANT {what} TO {user}")
    finally:
        if source.vendor == "postgresql":
            run(f"DROP OWNED BY {READER}")
        run(f"DROP {kind} {user}")


# --- who isn't let in, or may not read ------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "postgres://nobody_of_the_kind:secret@{HOST}:{PORT}/postgres",
        pytest.param("mysql", marks=needs.mysql),
    ],
)
def test_refused_login_is_no_source_that_is_away(url, django_db_blocker) -> None:
    if url == "mysql":
        config = {**legacy_database(needs.LEGACY_MYSQL_URL), "USER": "nobody", "PASSWORD": "secret"}
    else:
        config = legacy_database(url.format(**settings.DATABASES["default"]))
    with (
        django_db_blocker.unblock(),
        connected("closed", config),
        pytest.raises(SourceDenied) as caught,
    ):
        Source("closed").table("author")
    message = str(caught.value)
    assert "“closed”" in message
    assert "refuses this user" in message
    assert "Mend the user, the password or the address" in message
    assert "secret" not in message


def test_run_whose_login_is_refused_fails_with_the_reason(each_dispatch, monkeypatch) -> None:
    if each_dispatch.source.vendor == "sqlite":
        return
    connection = each_dispatch.source.connection
    job = each_dispatch.job()
    begin(job, "load")
    connection.close()
    with monkeypatch.context() as patched:
        patched.setitem(connection.settings_dict, "USER", "nobody_of_the_kind")
        patched.setitem(connection.settings_dict, "PASSWORD", "wrong")
        assert sync_to_end(job) == ["failed"]
        connection.close()
    assert job.error_code == "source_denied"
    assert "nobody_of_the_kind" in job.error_message


def test_table_that_may_not_be_read_is_named_before_the_first_row(reader, run) -> None:
    source, grant = reader
    columns = "(id integer NOT NULL PRIMARY KEY, name varchar(9), motto varchar(9), born date)"
    run(f"CREATE TABLE author {columns}")
    # MySQL hides what no right is there for.
    grant("INSERT ON author")
    with pytest.raises(SchemaDrift) as caught:
        source.check([authors()])
    assert "can't be read" in str(caught.value)
    assert "Give the source's user the right to read it." in str(caught.value)
    grant("SELECT ON author")
    assert set(source.check([authors()])) == {"authors"}


def test_right_that_is_taken_away_meanwhile_fails_with_the_reason(reader, run, source) -> None:
    reading, grant = reader
    run("CREATE TABLE author (id integer NOT NULL PRIMARY KEY, name varchar(9))")
    grant("SELECT ON author")
    table = reading.table("author")
    user = READER if source.vendor == "postgresql" else f"'{READER}'@'%'"
    run(f"REVOKE SELECT ON author FROM {user}")
    with pytest.raises(SourceDenied, match=r"refuses this user: .*denied.*sync-rights.md"):
        reading.read(table, ["id", "name"], limit=9)


def test_view_that_no_longer_works_is_named(source, run) -> None:
    if source.vendor == "postgresql":
        # It doesn't let go of a table that a view needs.
        return
    run("CREATE TABLE kept (id integer NOT NULL PRIMARY KEY, name varchar(9), motto varchar(9))")
    run("CREATE VIEW author AS SELECT * FROM kept")
    entity = authors(columns={"name": authors().columns["name"]})
    run("DROP TABLE kept")
    with pytest.raises((SchemaDrift, SourceFailed), match=r"author|kept"):
        source.check([entity])
    run("DROP VIEW author")


# --- a statement that fails -------------------------------------------------------------------


def test_statement_that_fails_is_the_sources_error(source) -> None:
    with (
        pytest.raises(SourceFailed, match=r"nothing_of_the_kind") as caught,
        source.session() as session,
    ):
        session.cursor().execute("SELECT * FROM nothing_of_the_kind")
    assert not is_disconnect(caught.value)
    assert f"“{source.alias}”" in str(caught.value)


def test_statement_that_takes_too_long_is_tried_smaller(source, run) -> None:
    statements = {
        "postgresql": "SET LOCAL statement_timeout = 20; SELECT pg_sleep(5)",
        "mysql": "SET STATEMENT max_statement_time = 0.02 FOR "
        "SELECT count(*) FROM information_schema.columns a, information_schema.columns b",
    }
    if source.vendor not in statements:
        return
    with (
        pytest.raises(SourceInterrupted, match="broke a statement off") as caught,
        source.session() as session,
    ):
        session.cursor().execute(statements[source.vendor])
    assert is_contention(caught.value)
    assert not is_disconnect(caught.value)


def test_error_of_another_engine_is_no_lost_target(source, run) -> None:
    if source.vendor == "postgresql":
        return
    statement = "SELEC" if source.vendor == "sqlite" else "SELECT 1 FROM dual LOCK IN SHARE MODEL"
    with pytest.raises(DatabaseError) as caught:
        run(statement)
    lost = OperationalError("gone")
    lost.__cause__ = caught.value.__cause__
    assert not is_disconnect(lost)
    assert is_disconnect(OperationalError("gone"))


# --- SQLite's file ----------------------------------------------------------------------------


def test_missing_file_is_unreachable_and_not_made(tmp_path, django_db_blocker) -> None:
    path = tmp_path / "typo.sqlite3"
    config = legacy_database(f"sqlite:///{path}")
    with (
        django_db_blocker.unblock(),
        connected("typo", config),
        pytest.raises(SourceUnreachable, match=r"typo\.sqlite3.*there is no such file"),
    ):
        Source("typo").check([authors()])
    assert not path.exists()


def test_file_that_is_moved_away_meanwhile_is_unreachable(dispatch) -> None:
    path = Path(dispatch.source.connection.settings_dict["NAME"])
    dispatch.source.count(dispatch.source.table(OFFICE.name))
    path.rename(path.with_suffix(".moved"))
    try:
        with pytest.raises(SourceUnreachable):
            dispatch.source.table(OFFICE.name)
        assert not path.exists()
    finally:
        path.with_suffix(".moved").rename(path)


def test_locked_file_is_waited_for(dispatch) -> None:
    dispatch.add_offices(1)
    job = dispatch.job(entities_to_sync=["offices"], max_failed_percent=100)
    run = begin(job, "load")
    connection = dispatch.source.connection
    with connected("other", connection.settings_dict), connections["other"].cursor() as other:
        dispatch.legacy("PRAGMA busy_timeout = 20")
        other.execute("BEGIN EXCLUSIVE")
        assert sync_to_end(job) == ["waiting"]
        other.execute("ROLLBACK")
    assert "is busy, somebody else holds it: database is locked" in job.waiting_reason
    run.checkpoints.update(not_before=None)
    assert sync_to_end(job) == ["completed"]


# --- texts that aren't UTF-8 --------------------------------------------------------------------


def test_text_that_is_not_utf8_is_one_bad_row(dispatch) -> None:
    dispatch.add_offices(1, 2, 3)
    dispatch.legacy(f"UPDATE {OFFICE.name} SET name = cast(x'4dfc6e' AS text) WHERE id = 2")
    job = dispatch.job(entities_to_sync=["offices"], max_failed_percent=100)
    run = sync(job, "load")
    assert (run.outcome, run.counts) == ("completed", {"inserted": 2, "quarantined": 1})
    assert Office.objects.count() == 2
    [kept] = _quarantine()
    reason = {"column": "name", "value": r"b'M\xfcn'", "problem": "is no UTF-8 text"}
    assert kept.reasons == [reason]


def test_text_that_is_not_utf8_in_a_column_of_another_kind_is_one_bad_row(dispatch) -> None:
    dispatch.add_offices(1, 2)
    for column in ("rent", "opened", "created", "active", "phone"):
        dispatch.legacy(f"UPDATE {OFFICE.name} SET {column} = cast(x'fc' AS text) WHERE id = 2")
    run = sync(dispatch.job(entities_to_sync=["offices"], max_failed_percent=100), "load")
    assert run.counts == {"inserted": 1, "quarantined": 1}
    [kept] = _quarantine()
    found = {reason["column"] for reason in kept.reasons}
    assert found == {"rent", "opened", "created", "active", "phone"}


def test_row_that_is_marked_as_deleted_beside_a_bad_text_stays_so(dispatch) -> None:
    dispatch.add_offices(1, 2)
    dispatch.legacy(f"UPDATE {OFFICE.name} SET name = cast(x'fc' AS text) WHERE id = 2")
    dispatch.change(1, 2, column="deleted", to="2024-05-02 12:00:00")
    run = sync(dispatch.job(entities_to_sync=["offices"], max_failed_percent=100), "load")
    assert "quarantined" not in run.counts


@pytest.fixture
def ascii_dispatch(db, django_db_blocker):
    """On PostgreSQL, in a database without an encoding."""
    default = settings.DATABASES["default"]
    config = legacy_database("postgres:///legacy")
    config |= {key: default[key] for key in ("HOST", "PORT", "USER", "PASSWORD")}
    name = f"encore_legacy_ascii_{os.getpid()}"

    def administer(statement):
        server = {**config, "NAME": "postgres"}
        with connected("server", server), connections["server"].cursor() as cursor:
            cursor.execute(statement)

    with django_db_blocker.unblock():
        administer(
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' "
            "LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'"
        )
        try:
            with connected("ascii", {**config, "NAME": name}):
                yield Dispatch(Source("ascii"))
        finally:
            administer(f"DROP DATABASE {name}")


def test_byte_of_another_encoding_is_one_bad_row(ascii_dispatch) -> None:
    ascii_dispatch.add_offices(1, 2, 3, name="Köln")
    ascii_dispatch.legacy(
        f"UPDATE {OFFICE.name} SET name = convert_from('\\x4dfc6e', 'SQL_ASCII') WHERE id = 2"
    )
    job = ascii_dispatch.job(entities_to_sync=["offices"], max_failed_percent=100)
    run = sync(job, "load")
    assert (run.outcome, run.counts) == ("completed", {"inserted": 2, "quarantined": 1})
    assert set(Office.objects.values_list("name", flat=True)) == {"Köln"}
    [kept] = _quarantine()
    assert kept.reasons[0]["problem"] == "is no UTF-8 text"

    assert sync(job, "compare").outcome == "completed"
    assert sync(job, "load").counts == {"unchanged": 2, "quarantined": 1}


def _quarantine():
    return list(QuarantinedRow.objects.filter(resolved_at=None))
