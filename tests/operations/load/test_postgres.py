import contextlib
import threading

import pytest
from django.db import connection, transaction

from operations.gates.load.postgres import ActiveSessions, ReplicationLag
from operations.gates.load.reading import NothingToRead, Unreadable
from tests.processes import wait_until


@contextlib.contextmanager
def somebody_without_rights():
    """This session as a user of no privileges."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE ROLE encore_test_nobody")
        cursor.execute("SET LOCAL ROLE encore_test_nobody")
        yield
        cursor.execute("RESET ROLE")
        transaction.set_rollback(True)


@contextlib.contextmanager
def another_session():
    """One more session of this database, which waits for a lock inside a statement."""
    started, done = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(77)")
            started.set()
            done.wait(timeout=20)
        connection.close()

    def wait_for_lock():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(77)")
        connection.close()

    holder, waiter = threading.Thread(target=hold), threading.Thread(target=wait_for_lock)
    holder.start()
    started.wait(timeout=10)
    waiter.start()
    try:
        yield
    finally:
        done.set()
        holder.join(timeout=10)
        waiter.join(timeout=10)


@pytest.mark.django_db(transaction=True)
def test_active_sessions_counts_other_sessions_that_run_something():
    idle = ActiveSessions().read().value
    with another_session():
        wait_until(lambda: ActiveSessions().read().value == idle + 1, "the other one is counted")


@pytest.mark.django_db(transaction=True)
def test_active_sessions_hidden_from_this_user_are_not_taken_for_idle(settings):
    settings.LOAD_MAX_ACTIVE_SESSIONS = 3
    with (
        another_session(),
        somebody_without_rights(),
        pytest.raises(Unreadable, match="GRANT pg_read_all_stats TO encore_test_nobody"),
    ):
        ActiveSessions().read()


@pytest.mark.parametrize(
    ("collector", "setting"),
    [
        (ActiveSessions(), "LOAD_MAX_ACTIVE_SESSIONS"),
        (ReplicationLag(), "LOAD_MAX_REPLICATION_LAG_SECONDS"),
    ],
)
def test_limit_is_the_setting_and_0_is_not_configured(settings, collector, setting):
    setattr(settings, setting, 7)
    assert collector.limit() == 7
    setattr(settings, setting, 0)
    assert collector.limit() is None


def test_replication_lag_without_replicas_is_nothing_to_read(db):
    with as_seen(), pytest.raises(NothingToRead, match="No replica"):
        ReplicationLag().read()


def test_replication_lag_reads_what_the_server_has(db):
    """On the real view: whatever this server has, the query is one that it answers."""
    with contextlib.suppress(NothingToRead):
        assert ReplicationLag().read().value >= 0


@contextlib.contextmanager
def as_seen(*replicas):
    """The server's view of its replicas, (state, lag) each, in the place of real ones."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL search_path = pg_temp, pg_catalog, public")
        cursor.execute(
            "CREATE TEMP TABLE pg_stat_replication (state text, replay_lag interval) ON COMMIT DROP"
        )
        for replica in replicas:
            cursor.execute("INSERT INTO pg_stat_replication VALUES (%s, %s)", replica)
        yield
        transaction.set_rollback(True)


def test_replication_lag_is_that_of_the_slowest_replica(db):
    replicas = [("streaming", "00:00:02"), ("streaming", "00:01:30.5"), ("streaming", None)]
    with as_seen(*replicas):
        assert ReplicationLag().read().value == 90.5


def test_replication_lag_of_replicas_that_have_everything_is_none(db):
    with as_seen(("streaming", None)):
        assert ReplicationLag().read().value == 0


def test_replication_lag_leaves_backups_out(db):
    with as_seen(("backup", None)), pytest.raises(NothingToRead):
        ReplicationLag().read()


def test_replication_lag_hidden_from_this_user_is_not_taken_for_none(db):
    with as_seen((None, None)), pytest.raises(Unreadable, match="GRANT pg_read_all_stats TO"):
        ReplicationLag().read()
