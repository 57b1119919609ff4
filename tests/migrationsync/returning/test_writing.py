"""The transaction in which a source is written to."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connections, transaction

from migrationsync.source import SourceUnreachable
from migrationsync.source.writing import RowRefused, writing
from tests.migrationsync.comparing.offices import ENTITY
from tests.migrationsync.legacies import connected


@pytest.fixture
def open_writer(offices):
    """Opens the transaction, with office 1 in the source."""
    offices.add_both(1)
    return lambda: writing(offices.source, ENTITY, offices.table)


def checksum(offices):
    [stored] = offices._source_checksums().values()
    return stored


def test_statements_hold_only_while_the_row_is_as_expected(offices, ledger, open_writer) -> None:
    expected = checksum(offices)
    with open_writer() as writer:
        assert not writer.update(1, {"city": "Jena"}, "0" * 32)
        assert not writer.update(2, {"city": "Jena"}, expected)
        assert not writer.delete(1, "0" * 32)
        assert writer.update(1, {"city": "100 %"}, expected)
        assert not writer.delete(1, expected)
    assert ledger.rows("dispatch_office", "city") == {1: "100 %"}


def test_update_that_changes_nothing_finds_its_row(offices, open_writer) -> None:
    with open_writer() as writer:
        assert writer.update(1, {"name": "Bremen"}, checksum(offices))


def test_refused_row_is_undone_alone(offices, ledger, open_writer) -> None:
    with open_writer() as writer:
        with writer.attempt():
            writer.update(1, {"city": "Celle"}, checksum(offices))
        with pytest.raises(RowRefused, match="is refused by the source"), writer.attempt():
            writer.insert({"id": 2, "name": "x", "created": "2024-01-01", "modified": None})
    assert ledger.rows("dispatch_office", "city") == {1: "Celle"}


def test_what_fails_elsewhere_undoes_all_and_is_not_told_as_the_sources(
    offices, ledger, open_writer
) -> None:
    def fail():
        with open_writer() as writer:
            writer.update(1, {"city": "Celle"}, checksum(offices))
            raise OperationalError("our own database is away")

    with pytest.raises(OperationalError, match="our own database"):
        fail()
    assert ledger.rows("dispatch_office", "city") == {1: None}
    assert not offices.source.connection.in_atomic_block


def test_transaction_is_the_outermost(offices, open_writer) -> None:
    with transaction.atomic(using=offices.source.alias), pytest.raises(RuntimeError, match="durab"):
        open_writer().__enter__()


def test_source_that_goes_away_is_unreachable_and_has_nothing_of_it(
    offices, ledger, open_writer
) -> None:
    if offices.source.vendor == "sqlite":
        # A file: nobody can end its connection.
        return

    def interrupted():
        with open_writer() as writer:
            writer.update(1, {"city": "Celle"}, checksum(offices))
            connection = writer.connection
            if writer.vendor == "postgresql":
                backend = connection.connection.info.backend_pid
                ledger.from_elsewhere("SELECT pg_terminate_backend(%s)", [backend])
            else:
                ledger.from_elsewhere(f"KILL {connection.connection.thread_id()}")

    with pytest.raises(SourceUnreachable):
        interrupted()
    assert ledger.rows("dispatch_office", "city") == {1: None}


def test_sqlite_is_held_from_the_beginning(offices, open_writer) -> None:
    if offices.source.vendor != "sqlite":
        return
    config = offices.source.connection.settings_dict
    with open_writer(), connected("other", config), connections["other"].cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 0")
        with pytest.raises(OperationalError, match="locked"):
            cursor.execute("UPDATE dispatch_office SET city = 'x'")
    with offices.source.session():
        pass
    assert offices.source.connection.transaction_mode is None
