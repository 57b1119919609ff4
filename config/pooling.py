"""A connection pool for the web process.

Owns how the web process holds its connections: a request borrows one and gives it back.
Not in the settings: workers share them, and a pool doesn't survive their forks.
"""

from __future__ import annotations

import atexit
from typing import cast

from django.conf import settings
from django.db import connections
from django.db.backends.postgresql.base import DatabaseWrapper

# A request that gets no connection for so long fails: the database, or too few connections.
WAIT_SECONDS = 10


def use_pool() -> None:
    """Give every connection of this process to a pool. Call before the first request.

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
        database = connections.settings[alias]
        database["CONN_MAX_AGE"] = 0
        if size:
            database["OPTIONS"]["pool"] = {
                "min_size": 1,
                "max_size": size,
                "timeout": WAIT_SECONDS,
            }


def close_pools() -> None:
    """Close the pools' connections. They open again when they are used."""
    for connection in connections.all():
        cast(DatabaseWrapper, connection).close_pool()
