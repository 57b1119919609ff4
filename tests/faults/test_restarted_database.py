"""The database server dies three times under one duplication.

A server of the test's own: the one that the other tests use stays as it is.
"""

import os
import signal

import pytest
from django.core.management import call_command
from django.db import connection

from config import embedded_postgres
from config.env import env
from duplication.models import IdMap
from duplication.services import start_duplication
from tests.faults.checking import assert_sound, wait_for_the_end
from tests.processes import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

BLOCKS = 60_000
# Small steps, so that each restart finds one under way. The budget and the leases are short
# for the sake of what a restart breaks outside of a step: the next delivery, the next claim.
ENVIRONMENT = {
    "OPERATION_LEASE_SECONDS": 3,
    "OPERATION_TIME_BUDGET_SECONDS": 5,
    "OPERATION_STEP_TARGET_MS": 5,
}


class PrivateServer:
    """A PostgreSQL in `folder`, to which this process's connection leads while it lives."""

    def __init__(self, folder):
        self._folder = folder
        self._saved = dict(connection.settings_dict)

    def start(self):
        config = env.db_url_config(embedded_postgres.ensure_running(self._folder))
        connection.close()
        connection.settings_dict.update(
            {name: config[name] for name in ("NAME", "USER", "PASSWORD", "PORT")},
            HOST=config["OPTIONS"]["host"],
        )

    def restart_immediately(self):
        """As `pg_ctl restart -m immediate`: nothing is written, nobody is told; then recovery."""
        pid_file = self._folder / "data" / "postmaster.pid"
        os.kill(int(pid_file.read_text().split()[0]), signal.SIGQUIT)
        wait_until(lambda: not pid_file.exists(), "the server is gone")
        embedded_postgres.ensure_running(self._folder)
        connection.close()

    def stop(self):
        connection.close()
        connection.settings_dict.update(self._saved)
        embedded_postgres.stop(self._folder)


@pytest.fixture
def server(transactional_db, tmp_path):
    server = PrivateServer(tmp_path / "postgres")
    server.start()
    try:
        call_command("migrate", verbosity=0)
        yield server
    finally:
        server.stop()


@pytest.fixture
def start_workers_there(server, start_workers):
    """Named after the server, so that the workers are gone before it is."""
    return start_workers


def test_duplication_whose_database_restarts_3_times_is_sound(
    server, start_workers_there, make_linked_episode
):
    episode = make_linked_episode(parts=4, items=25, blocks=BLOCKS // 100)
    start_workers_there(workers=2, environment=ENVIRONMENT)
    duplication, _ = start_duplication(episode_id=episode.pk, requested_by=None, lanes=2)

    def copied_blocks():
        return IdMap.objects.filter(duplication=duplication, type="block").count()

    for at in (1, BLOCKS // 3, BLOCKS * 2 // 3):
        wait_until(lambda at=at: copied_blocks() >= at, f"{at} blocks are copied")
        assert copied_blocks() < BLOCKS
        server.restart_immediately()

    wait_for_the_end(duplication)
    assert_sound(duplication)
