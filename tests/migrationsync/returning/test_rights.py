"""The least rights that docs/sync-rights.md names, with a user of the source who has no others."""

from __future__ import annotations

import os

import pytest
from django.db import DatabaseError, connections

from migrationsync.dispatch.models import Office
from migrationsync.returning import delete_back, give_back, insert_back, refusals
from migrationsync.source import Source
from migrationsync.source.writing import MayNotWrite
from tests.migrationsync.comparing.offices import ENTITY, NOON
from tests.migrationsync.legacies import connected

USER = f"encore_least_{os.getpid()}"
READ = {
    "postgresql": "GRANT SELECT ON dispatch_office TO {user}",
    "mysql": "GRANT SELECT ON dispatch_office TO {user}",
}
UPDATE = (
    "GRANT UPDATE (name, city, phone, rent, active, opened, created, modified, deleted) "
    "ON dispatch_office TO {user}"
)
INSERT = "GRANT INSERT ON dispatch_office TO {user}"


class Least:
    """A user of the source without any rights but those it is granted."""

    def __init__(self, offices) -> None:
        self._offices = offices
        self.source = Source("least")
        is_mysql = offices.source.vendor == "mysql"
        self._name = f"'{USER}'@'%'" if is_mysql else USER
        offices.legacy(
            f"CREATE USER {self._name} IDENTIFIED BY 'secret'"
            if is_mysql
            else f"CREATE ROLE {self._name} LOGIN PASSWORD 'secret'"
        )
        self.config = {
            **connections[offices.source.alias].settings_dict,
            "USER": USER,
            "PASSWORD": "secret",
        }

    def grant(self, *statements) -> None:
        for statement in statements:
            self._offices.legacy(statement.format(user=self._name))

    def drop(self) -> None:
        if self._offices.source.vendor == "postgresql":
            self._offices.legacy(f"DROP OWNED BY {self._name}")
        self._offices.legacy(f"DROP USER {self._name}")


@pytest.fixture
def least(offices, ledger):
    if offices.source.vendor == "sqlite":
        # A file has no users.
        yield None
        return
    least = Least(offices)
    try:
        with connected("least", least.config):
            yield least
    finally:
        least.drop()


def changed(offices):
    """An office that the target changed."""
    offices.add_both(1)
    offices.target(1).update(city="Celle")
    return [offices.target(1).get().pk]


def test_who_may_only_read_gives_nothing_back(offices, ledger, least) -> None:
    asked = changed(offices)
    if least is None:
        return
    least.grant(READ[offices.source.vendor])
    table = least.source.check([ENTITY])[ENTITY.name]
    with pytest.raises(MayNotWrite, match=r"dispatch_office.*docs/sync-rights.md"):
        give_back(ENTITY, least.source, table, asked)
    with pytest.raises(MayNotWrite):
        insert_back(ENTITY, least.source, table, [office()], reserve=ledger.reserve(ENTITY))
    with pytest.raises(MayNotWrite):
        delete_back(ENTITY, least.source, table, [1])
    assert ledger.rows("dispatch_office", "city", "deleted") == {1: [None, None]}


def test_rights_that_are_documented_are_enough(offices, ledger, least) -> None:
    asked = changed(offices)
    if least is None:
        return
    least.grant(READ[offices.source.vendor], UPDATE)
    table = least.source.check([ENTITY])[ENTITY.name]
    assert give_back(ENTITY, least.source, table, asked)[0].problem == ""
    with pytest.raises(MayNotWrite):
        insert_back(ENTITY, least.source, table, [office()], reserve=ledger.reserve(ENTITY))
    least.grant(INSERT)
    table = least.source.check([ENTITY])[ENTITY.name]
    assert refusals(ENTITY, table) == []
    [new] = insert_back(ENTITY, least.source, table, [office()], reserve=ledger.reserve(ENTITY))
    assert (new.problem, new.legacy_id) == ("", 2)
    offices.legacy("UPDATE dispatch_office SET city = NULL, name = 'Bremen' WHERE id = 1")
    # No DELETE: rows are marked.
    assert delete_back(ENTITY, least.source, table, [1])[0].problem == ""


def test_session_that_reads_cannot_write_whatever_the_rights(offices, ledger, least) -> None:
    offices.add_both(1)
    source = offices.source
    if least is not None:
        least.grant(READ[offices.source.vendor], UPDATE, INSERT)
        source = least.source
    for statement in (
        "UPDATE dispatch_office SET city = 'x'",
        "INSERT INTO dispatch_office (id, name, created, modified) "
        "SELECT 9, name, created, modified FROM dispatch_office",
    ):
        with pytest.raises(DatabaseError, match=r"(?i)read.?only"), source.session() as session:
            session.cursor().execute(statement)
    assert ledger.rows("dispatch_office", "city") == {1: None}


def test_tables_without_transactions_are_not_written_to(offices, ledger) -> None:
    if offices.source.vendor != "mysql":
        return
    asked = changed(offices)
    offices.legacy("ALTER TABLE dispatch_office ENGINE = MyISAM")
    with pytest.raises(MayNotWrite, match="MyISAM, which has no transactions"):
        give_back(ENTITY, offices.source, offices.table, asked)
    assert ledger.rows("dispatch_office", "city") == {1: None}


def office():
    return Office.objects.create(name="Jena", created_at=NOON, updated_at=NOON).pk
