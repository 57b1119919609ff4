import pytest

from tests.migrationsync.syncing import Dispatch


@pytest.fixture
def each_dispatch(db, source):
    """On each engine in turn."""
    return Dispatch(source)
