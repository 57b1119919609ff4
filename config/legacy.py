"""The database that is migrated from, from its address."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config.env import env

# How long an answer may fail to come before the source counts as away.
SILENCE_SECONDS = 60

_OPTIONS: dict[str, dict[str, Any]] = {
    "postgresql": {
        "application_name": "encore-legacy",
        "connect_timeout": 5,
        "tcp_user_timeout": SILENCE_SECONDS * 1000,
    },
    "mysql": {
        "charset": "utf8mb4",
        "connect_timeout": 5,
        "read_timeout": SILENCE_SECONDS,
        "write_timeout": SILENCE_SECONDS,
    },
    "sqlite3": {"timeout": 30},
}


def legacy_database(url: str) -> dict[str, Any]:
    """A Django database for `url`. Raises ImproperlyConfigured for an engine that isn't known."""
    config = dict(env.db_url_config(url))
    engine = str(config.get("ENGINE", "")).rpartition(".")[2]
    if engine not in _OPTIONS:
        raise ImproperlyConfigured(
            "LEGACY_DATABASE_URL names an engine that isn't known: it begins with postgres://, "
            "mysql:// or sqlite:///."
        )
    if engine == "mysql":
        import pymysql

        # Django's backend imports mysqlclient, which has to be compiled against MySQL's own
        # library; PyMySQL is Python, and answers to the same name.
        pymysql.install_as_MySQLdb()
    options = {**_OPTIONS[engine], **config.get("OPTIONS", {})}
    # A socket's folder has no place in a PostgreSQL URL but as a parameter.
    if engine == "postgresql":
        config["HOST"] = options.pop("host", config["HOST"])
    return {**config, "OPTIONS": options, "CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True}


class LegacyIsNotMigrated:
    """A router: `migrate --database legacy` makes no tables of ours there."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if db == "legacy" else None
