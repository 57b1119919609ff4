import pytest

from tests.migrationsync.syncing import Dispatch, quick_source


@pytest.fixture
def dispatch(db, _legacies, django_db_blocker):
    """On the engine that is the quickest to make."""
    with quick_source(_legacies, django_db_blocker) as source:
        yield Dispatch(source)
