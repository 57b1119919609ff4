"""The benchmark's own two databases: a source that is built once, and a copy of it per run.

Both are on the server that DATABASE_URL names (or on the embedded one) and are named after
its database, as Django names its test database: `encore` is measured in `encore_benchmark`.
Every run starts from a fresh file copy of the source, so all runs find the same bytes, the
same free ids and a checkpoint just behind them, whatever the run before has left.

Owns creating, restoring and dropping them, and where Django is connected to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.core.management import call_command
from django.db import connection
from psycopg import sql

# Where the server is told to create and drop, as Django does for test databases.
MAINTENANCE_DATABASE = "postgres"
# Before this version a file copy is the only strategy, and has no name.
STRATEGY_SINCE = 150_000


class DatabaseInUse(Exception):
    """Another benchmark is running on these databases."""


class Databases:
    """Inside the `with` block there is a migrated, empty source; afterwards there is nothing.

    What a benchmark that was killed has left is dropped first. Raises DatabaseInUse.
    """

    def __init__(self, server_url: str) -> None:
        self._parts = urlsplit(server_url)
        self.run_name = self._parts.path.lstrip("/") + "_benchmark"
        self.source_name = self.run_name + "_source"

    @property
    def run_url(self) -> str:
        return self._url(self.run_name)

    @property
    def maintenance_url(self) -> str:
        return self._url(MAINTENANCE_DATABASE)

    def export(self) -> None:
        """Have Django, here and in every process started from here, use the run's database."""
        os.environ["DATABASE_URL"] = self.run_url

    def __enter__(self) -> Self:
        self._server = psycopg.connect(self.maintenance_url, autocommit=True)
        # Held as long as the connection: between two runs nobody is connected to either.
        cursor = self._server.execute(
            "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [self.run_name]
        )
        if cursor.fetchone() != (True,):
            self._server.close()
            raise DatabaseInUse(f"Another benchmark is running in {self.run_name}.")
        try:
            self._drop(self.run_name, self.source_name)
            self._server.execute(_statement("CREATE DATABASE {}", self.source_name))
            with self.source():
                call_command("migrate", verbosity=0)
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    @contextmanager
    def source(self) -> Iterator[None]:
        """Django is connected to the source in here, and to nothing when it ends."""
        connection.close()
        connection.settings_dict["NAME"] = self.source_name
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict["NAME"] = self.run_name

    def restore(self) -> None:
        """Make the run's database equal to the source again, ending with a checkpoint."""
        connection.close()
        self._drop(self.run_name)
        named = self._server.info.server_version >= STRATEGY_SINCE
        self._server.execute(
            _statement("CREATE DATABASE {} TEMPLATE {}", self.run_name, self.source_name)
            + sql.SQL(" STRATEGY FILE_COPY" if named else "")
        )

    def _leave(self) -> None:
        connection.close()
        self._drop(self.run_name, self.source_name)
        self._server.close()

    def _drop(self, *names: str) -> None:
        for name in names:
            self._server.execute(_statement("DROP DATABASE IF EXISTS {} WITH (FORCE)", name))

    def _url(self, name: str) -> str:
        return urlunsplit(self._parts._replace(path=f"/{name}"))


def _statement(template: str, *names: str) -> sql.Composed:
    return sql.SQL(template).format(*map(sql.Identifier, names))
