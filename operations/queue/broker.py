"""The queue in our own database, taken from with SKIP LOCKED.

Owns how a task is dequeued: in order, each by one worker cluster, in one round trip.
Enqueueing stays the ORM broker's plain INSERT, so that it is part of the caller's
transaction: "step committed" and "next step queued" are one fact.
"""

from __future__ import annotations

import time

from django.db import DEFAULT_DB_ALIAS, connections
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ

from operations.queue import heartbeat

# The CTE is materialized so that its LIMIT holds whatever the planner does with the
# join. A row that another cluster took between our snapshot and our lock is checked
# again by PostgreSQL, with its new lock time, and left out. Times are the database's:
# machines whose clocks differ agree on when a lease has run out.
DEQUEUE = """
WITH due AS MATERIALIZED (
    SELECT id FROM {table}
    WHERE key = ANY(%s) AND lock < statement_timestamp()
    ORDER BY id
    LIMIT %s
    FOR UPDATE SKIP LOCKED
)
UPDATE {table} AS task
SET lock = statement_timestamp() + make_interval(secs => %s)
FROM due
WHERE task.id = due.id
RETURNING task.id, task.payload
"""


def lease_tasks(keys: list[str]) -> list[tuple[int, str]]:
    """Lease the oldest `bulk` tasks of the queues `keys`: (id, payload) each, oldest first."""
    ORM.get_connection()  # closes a connection that is too old or has failed
    connection = connections[Conf.ORM or DEFAULT_DB_ALIAS]
    statement = DEQUEUE.format(table=connection.ops.quote_name(OrmQ._meta.db_table))
    with connection.cursor() as cursor:
        cursor.execute(statement, [keys, Conf.BULK, Conf.RETRY])
        # RETURNING promises no order.
        return sorted(cursor.fetchall())


class SkipLockedBroker(ORM):
    """The lease of a task starts here, at dequeue, and lasts `retry` seconds.

    Inside a cluster that is supervised, the cluster's own probes are taken as well.
    Acknowledging a task whose row is gone already is fine.
    """

    def dequeue(self) -> list[tuple[int, str]] | None:
        """Lease the oldest `bulk` tasks.

        Sleeps `poll` seconds and returns None if there is nothing to do.
        """
        keys = [self.list_key]
        if cluster := heartbeat.current_cluster():
            keys.append(heartbeat.probe_queue(cluster))
        tasks = lease_tasks(keys)
        if not tasks:
            time.sleep(Conf.POLL)
            return None
        return tasks
