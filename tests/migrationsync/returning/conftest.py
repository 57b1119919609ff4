import pytest

from tests.migrationsync.comparing.offices import Offices
from tests.migrationsync.returning.ledgers import Ledger


@pytest.fixture
def offices(db, source, run):
    return Offices(source, run)


@pytest.fixture
def ledger(db, source, run):
    return Ledger(source, run)
