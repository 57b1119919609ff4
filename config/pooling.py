"""A connection pool for the web process.

Not in the settings: workers share them, and a pool doesn't survive their forks.
"""

from django.db import connections

from config.env import env


def use_pool() -> None:
    """Give every PostgreSQL connection of this process to a pool. Call before the first query."""
    size = env("DATABASE_POOL_SIZE")
    for connection in connections.all(initialized_only=False):
        connection.settings_dict["CONN_MAX_AGE"] = 0
        connection.settings_dict["OPTIONS"]["pool"] = {"min_size": 1, "max_size": size}
