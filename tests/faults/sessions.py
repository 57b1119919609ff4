"""Which worker process does what in the database right now.

The workers' sessions carry their process id as their name (tests.faults.apps).
"""

from contextlib import contextmanager

import psutil
from django.db import connection


@contextmanager
def another_session():
    """A cursor of a session of its own, in a transaction that is rolled back at the end.

    Apart from the test's own: what others do is seen only outside of a transaction.
    """
    session = connection.copy()
    try:
        session.set_autocommit(False)
        with session.cursor() as cursor:
            yield cursor
    finally:
        session.close()


def workers_in_a_step(cluster, jobs="duplication_jobs"):
    """The workers of the `run_workers` process that lock a job of the table `jobs` right now.

    Without its own dispatcher, which locks jobs as well. One that has just been killed may
    be among them: its session ends when the server notices.
    """
    pids = _pids(
        "EXISTS (SELECT 1 FROM pg_locks WHERE pg_locks.pid = activity.pid AND granted"
        " AND relation = %s::regclass AND mode = 'RowShareLock')",
        jobs,
    )
    below = psutil.Process(cluster.pid).children(recursive=True)
    return {process for process in below if process.pid in pids}


def pids_waiting_for(table):
    """Process ids of those that wait for a lock on the whole `table`."""
    return _pids(
        "EXISTS (SELECT 1 FROM pg_locks WHERE pg_locks.pid = activity.pid AND NOT granted"
        " AND relation = %s::regclass)",
        table,
    )


def pids_blocked_by(backend):
    """Process ids of those that wait for something that the session `backend` holds."""
    return _pids("%s = ANY(pg_blocking_pids(activity.pid))", backend)


def states_of(pid):
    """What the sessions of the process do: active, idle, idle in transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT state FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = %s",
            [f"pid {pid}"],
        )
        return [state for (state,) in cursor.fetchall()]


def _pids(condition, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT split_part(application_name, ' ', 2)::int FROM pg_stat_activity"
            " AS activity WHERE datname = current_database() AND application_name LIKE 'pid %%'"
            f" AND {condition}",
            parameters or None,
        )
        return [pid for (pid,) in cursor.fetchall()]
