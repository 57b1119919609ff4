"""A legacy database for a benchmark: beside the target on the same server, gone at the end."""

from __future__ import annotations

import os
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.db import connections
from psycopg import sql

from benchmarks.databases import Databases
from config.legacy import legacy_database
from migrationsync.source import Source

ALIAS = "legacy"


class Legacy:
    """Known to Django here, and in processes that are started from here."""

    def __init__(self, databases: Databases) -> None:
        self.databases = databases
        self._name = databases.run_name + "_legacy"
        parts = urlsplit(databases.run_url)
        self.url = urlunsplit(parts._replace(path=f"/{self._name}"))
        self.source = Source(ALIAS)

    def __enter__(self) -> Legacy:
        os.environ["LEGACY_DATABASE_URL"] = self.url
        connections.settings[ALIAS] = legacy_database(self.url)
        connections.configure_settings(connections.settings)
        self._administer("DROP DATABASE IF EXISTS {} WITH (FORCE)", "CREATE DATABASE {}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connections[ALIAS].close()
        self._administer("DROP DATABASE IF EXISTS {} WITH (FORCE)")

    def _administer(self, *statements: str) -> None:
        with psycopg.connect(self.databases.maintenance_url, autocommit=True) as server:
            for statement in statements:
                server.execute(sql.SQL(statement).format(sql.Identifier(self._name)))
