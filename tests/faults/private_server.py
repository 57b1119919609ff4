"""A database server of the test's own: the one that the other tests use stays as it is."""

import os
import signal

from django.db import connection

from config import embedded_postgres
from config.env import env
from tests.processes import wait_until


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
