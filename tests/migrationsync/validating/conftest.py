import pytest

from tests.migrationsync.comparing.offices import Offices


@pytest.fixture
def offices(db, source, run):
    return Offices(source, run)
