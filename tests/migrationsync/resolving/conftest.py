import pytest

from tests.migrationsync.resolving.records import Records
from tests.migrationsync.syncing import Dispatch


@pytest.fixture
def dispatch(db, source):
    """The legacy tables, on each engine in turn."""
    return Dispatch(source)


@pytest.fixture
def records(dispatch):
    return Records(dispatch)
