"""What PostgreSQL says of its own load: sessions at work, and how far its replicas are behind.

Others' sessions and replicas are hidden from a user without the right to see them. What
is hidden is never taken for idle: the signal then counts as one that can't be read.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import connection, transaction

from operations.gates.load.reading import Collector, Figure, NothingToRead, Unreadable

# https://www.postgresql.org/docs/current/predefined-roles.html
GRANT = "GRANT pg_read_all_stats TO {user} makes them visible"


class ActiveSessions(Collector):
    """Other sessions of this database that run a statement right now."""

    signal: ClassVar[str] = "Active database sessions"
    configured_by: ClassVar[str] = "LOAD_MAX_ACTIVE_SESSIONS above 0"

    def limit(self) -> float | None:
        return settings.LOAD_MAX_ACTIVE_SESSIONS or None

    def read(self) -> Figure:
        active, hidden, user = _row(
            "SELECT count(*) FILTER (WHERE state = 'active' AND backend_type = 'client backend'),"
            " count(*) FILTER (WHERE backend_type IS NULL AND usesysid IS NOT NULL),"
            " current_user"
            " FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        if hidden and active <= (self.limit() or 0):
            raise Unreadable(f"Other users' sessions are hidden; {GRANT.format(user=user)}.")
        return Figure(active)


class ReplicationLag(Collector):
    """How far the slowest connected replica is behind in replaying, in seconds."""

    signal: ClassVar[str] = "Replication lag"
    unit: ClassVar[str] = " s"
    configured_by: ClassVar[str] = "LOAD_MAX_REPLICATION_LAG_SECONDS above 0"

    def limit(self) -> float | None:
        return settings.LOAD_MAX_REPLICATION_LAG_SECONDS or None

    def read(self) -> Figure:
        # The lag of a replica that has replayed everything is NULL.
        lag, replicas, hidden, is_standby, user = _row(
            "SELECT coalesce(max(extract(epoch FROM replay_lag))"
            " FILTER (WHERE state IN ('streaming', 'catchup')), 0)::float,"
            " count(*) FILTER (WHERE state IN ('streaming', 'catchup')),"
            " count(*) FILTER (WHERE state IS NULL),"
            " pg_is_in_recovery(), current_user"
            " FROM pg_stat_replication"
        )
        if is_standby:
            raise NothingToRead("This server is a standby itself.")
        if hidden:
            raise Unreadable(f"The replicas' state is hidden; {GRANT.format(user=user)}.")
        if not replicas:
            raise NothingToRead("No replica is connected.")
        return Figure(lag)


def _row(sql: str) -> tuple[Any, ...]:
    # A savepoint where the caller has a transaction: an error leaves that one usable.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)
        row: tuple[Any, ...] = cursor.fetchone()
    return row
