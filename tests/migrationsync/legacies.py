"""Legacy databases for tests: one of each engine, made on first use, dropped at the end."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connections

from config.legacy import legacy_database
from migrationsync.names import quoted
from tests.needs import LEGACY_MYSQL_URL

ENGINES = ("postgresql", "mysql", "sqlite")


class Legacy:
    """A new, empty database of `engine`, to be dropped with `drop`."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.alias = f"legacy_{engine}"
        self._name = f"encore_legacy_{os.getpid()}"
        self._server = None
        match engine:
            case "sqlite":
                self.config = legacy_database(f"sqlite:///{folder}/legacy.sqlite3")
                return
            case "mysql":
                self.config = legacy_database(LEGACY_MYSQL_URL)
                self._server = {**self.config, "NAME": ""}
            case _:
                default = settings.DATABASES["default"]
                self.config = legacy_database("postgres:///legacy")
                self.config |= {key: default[key] for key in ("HOST", "PORT", "USER", "PASSWORD")}
                self._server = {**self.config, "NAME": "postgres"}
        self.config["NAME"] = self._name
        self.drop()
        self._administer(f"CREATE DATABASE {self._name}")

    def drop(self) -> None:
        self._administer(f"DROP DATABASE IF EXISTS {self._name}")

    def _administer(self, statement: str) -> None:
        if self._server is not None:
            with connected("server", self._server), connections["server"].cursor() as cursor:
                cursor.execute(statement)


@contextlib.contextmanager
def connected(alias: str, config: dict[str, Any]) -> Iterator[None]:
    connections.settings[alias] = config
    connections.configure_settings(connections.settings)
    try:
        yield
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]


def empty(alias: str) -> None:
    """What another test left there is gone, views too."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        tables = connection.introspection.get_table_list(cursor)
        # Views first: they need their tables.
        for table in sorted(tables, key=lambda table: table.type != "v"):
            kind = "VIEW" if table.type == "v" else "TABLE"
            cursor.execute(f"DROP {kind} {quoted(table.name, connection.vendor)}")
