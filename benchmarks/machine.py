"""What the figures were measured on: without it they say nothing."""

from __future__ import annotations

import os
import platform
from typing import Any

import django
import psutil
import psycopg
from django.conf import settings

# What decides how fast PostgreSQL writes and which plans it takes.
SERVER_SETTINGS = (
    "autovacuum",
    "checkpoint_timeout",
    "effective_cache_size",
    "fsync",
    "full_page_writes",
    "jit",
    "maintenance_work_mem",
    "max_parallel_workers_per_gather",
    "max_wal_size",
    "random_page_cost",
    "shared_buffers",
    "synchronous_commit",
    "wal_compression",
    "wal_level",
    "work_mem",
)


def describe(url: str) -> dict[str, Any]:
    """The machine, the server behind `url` and the versions, as JSON."""
    with psycopg.connect(url) as connection:
        rows: list[tuple[str, str]] = connection.execute(
            "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s) ORDER BY 1",
            [["server_version", *SERVER_SETTINGS]],
        ).fetchall()
    server = dict(rows)
    return {
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "memory_mb": round(psutil.virtual_memory().total / 2**20),
        "load_average_at_start": [round(load, 2) for load in psutil.getloadavg()],
        "python": platform.python_version(),
        "django": django.get_version(),
        "psycopg": psycopg.__version__,
        "postgresql": server.pop("server_version"),
        "postgresql_settings": server,
        "operation_settings": {
            name: getattr(settings, name)
            for name in ("OPERATION_STEP_TARGET_MS", "OPERATION_TIME_BUDGET_SECONDS")
        },
    }
