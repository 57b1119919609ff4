import pytest
from django.db import connections

from migrationsync.source import Source
from tests import needs
from tests.migrationsync.legacies import ENGINES, Legacy, connected, empty
from tests.migrationsync.syncing import Dispatch, quick_source

_MARKS = {"mysql": [needs.mysql]}


@pytest.fixture(scope="session")
def _legacies(django_db_setup, django_db_blocker, tmp_path_factory):
    """A function that makes an engine's database, or answers the one it made."""
    made = {}

    def database(engine):
        if engine not in made:
            made[engine] = Legacy(engine, tmp_path_factory.mktemp("legacy"))
        return made[engine]

    yield database
    with django_db_blocker.unblock():
        for each in made.values():
            each.drop()


@pytest.fixture(params=[pytest.param(engine, marks=_MARKS.get(engine, ())) for engine in ENGINES])
def source(request, _legacies, django_db_blocker):
    """An empty legacy database, on each engine in turn."""
    with django_db_blocker.unblock():
        database = _legacies(request.param)
        with connected(database.alias, database.config):
            empty(database.alias)
            yield Source(database.alias)


@pytest.fixture
def run(source):
    """Runs a statement in the legacy database, as its owner."""

    def run(statement, parameters=None):
        with connections[source.alias].cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else None

    return run


@pytest.fixture
def dispatch(db, _legacies, django_db_blocker):
    """The legacy tables, on the engine that is the quickest to make."""
    with quick_source(_legacies, django_db_blocker) as source:
        yield Dispatch(source)
