"""A connection pool for the web process.

Owns how the web process holds its connections: a request borrows one and gives it back.
Not in the settings: workers share them, and a pool doesn't survive their forks.
"""

from __future__ import annotations

import atexit
from typing import cast

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.postgresql.base import DatabaseWrapper

# A request that gets no connection for so long fails: the database, or too few connections.
WAIT_SECONDS = 10


def use_pool() -> None:
    """Give this process's connections to a pool. Call before the first request.

    Those to another database (a legacy one, on whatever engine) are asked for seldom, for one
    record at a time: they are closed with their request.

    With a DATABASE_POOL_SIZE of 0 each request opens and closes its own instead: its thread
    ends with it, so that no connection may stay open behind it either way.
    """
    size = settings.DATABASE_POOL_SIZE
    if size:
        # runserver has asked for the migrations: a connection from before can't go to the pool.
        connections.close_all()
        # Before the interpreter takes the pool's threads away from under it.
        atexit.register(close_pools)
    for alias in connections:
        connections.settings[alias]["CONN_MAX_AGE"] = 0
    if size:
        connections.settings[DEFAULT_DB_ALIAS]["OPTIONS"]["pool"] = {
            "min_size": 1,
            "max_size": size,
            "timeout": WAIT_SECONDS,
        }


def close_pools() -> None:
    """Close the pool's connections. They open again when they are used."""
    cast(DatabaseWrapper, connections[DEFAULT_DB_ALIAS]).close_pool()
