from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tests.factories.content import UserFactory


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
