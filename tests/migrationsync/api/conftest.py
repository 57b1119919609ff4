from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tests.factories.content import UserFactory
from tests.migrationsync.syncing import Dispatch, quick_source


def client_of(user) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


@pytest.fixture
def owner(db):
    return UserFactory(permissions=["add_synchronizationjob"])


@pytest.fixture
def api(owner):
    return client_of(owner)


@pytest.fixture
def stranger(db):
    return client_of(UserFactory())


@pytest.fixture
def dispatch(db, _legacies, django_db_blocker):
    """The legacy tables on one engine: which one makes no difference here."""
    with quick_source(_legacies, django_db_blocker) as source:
        yield Dispatch(source)
