"""Who visits the admin's pages, and what they are told there."""

from __future__ import annotations

from typing import Any

from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.factories.content import UserFactory

JOBS = "/admin/migrationsync/synchronizationjob/"
QUARANTINE = "/admin/migrationsync/quarantinedrow/"
LOOK_UP = "/admin/migrationsync/legacyidmapping/"


def client_of(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def with_permissions(*permissions: str) -> Client:
    return client_of(UserFactory(is_staff=True, permissions=list(permissions)))


def told(response: Any) -> list[str]:
    return [str(each) for each in get_messages(response.wsgi_request)]


def number_of_queries(client: Client, url: str) -> int:
    client.get(url)  # what is read once for all
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    return len(queries)
