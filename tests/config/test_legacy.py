from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.legacy import LegacyIsNotMigrated, legacy_database


@pytest.mark.parametrize(
    ("url", "engine", "name"),
    [
        ("postgres://u:p@db:5432/old", "django.db.backends.postgresql", "old"),
        ("mysql://u:p@db:3306/old", "django.db.backends.mysql", "old"),
        ("sqlite:////srv/old.sqlite3", "django.db.backends.sqlite3", "/srv/old.sqlite3"),
    ],
)
def test_address_becomes_a_database(url, engine, name) -> None:
    database = legacy_database(url)
    assert (database["ENGINE"], database["NAME"]) == (engine, name)


def test_socket_of_a_postgresql_is_its_host() -> None:
    assert legacy_database("postgres:///old?host=/run/pg")["HOST"] == "/run/pg"


def test_unknown_engine_is_refused_with_what_there_is() -> None:
    with pytest.raises(ImproperlyConfigured, match="mysql://"):
        legacy_database("oracle://u:p@db:1521/old")


def test_legacy_database_gets_no_tables_of_ours() -> None:
    router = LegacyIsNotMigrated()
    assert router.allow_migrate("legacy", "content") is False
    assert router.allow_migrate("default", "content") is None
