"""The web process as it is started, asked by many at once."""

from __future__ import annotations

import http.client
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from django.db import connection, connections

from config import pooling
from tests.processes import StartProcess, start_process, wait_until

__all__ = ["start_process"]

POOL_SIZE = 3
CLIENTS = 50


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def get(port: int, path: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as client:
        client.request("GET", path)
        return client.getresponse().status


def answers(port: int, path: str) -> bool:
    try:
        return bool(get(port, path))
    except OSError:
        return False


class Peak:
    """The most connections that other processes had to this database while it was watched."""

    def __init__(self) -> None:
        self.connections = 0
        self._tests = backend_pid()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        own = [self._tests, backend_pid()]  # this thread's, which is another one
        with closing(connection), connection.cursor() as cursor:
            while not self._done.is_set():
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND backend_type = 'client backend' AND pid <> ALL(%s)",
                    [own],
                )
                self.connections = max(self.connections, cursor.fetchone()[0])

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()


def backend_pid() -> int:
    """Of the calling thread's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid: int = cursor.fetchone()[0]
        return pid


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_many_requests_at_once_share_the_pools_connections(start_process: StartProcess) -> None:
    port = free_port()
    server = start_process(
        "runserver",
        "--noreload",
        f"127.0.0.1:{port}",
        settings_module="config.settings.base",
        environment={"DATABASE_POOL_SIZE": str(POOL_SIZE)},
    )
    wait_until(lambda: answers(port, "/healthz"), "the server answers")
    with Peak() as peak, ThreadPoolExecutor(CLIENTS) as clients:
        statuses = set(clients.map(lambda _: get(port, "/readyz"), range(2 * CLIENTS)))
    assert statuses == {503}  # no workers run
    assert 1 <= peak.connections <= POOL_SIZE
    server.send(signal.SIGTERM)
    assert server.wait() == 0
    for word in ("Traceback", "Warning", "couldn't stop thread"):
        assert word not in server.output()


def test_use_pool_of_size_zero_leaves_the_connections_alone() -> None:
    """What the tests themselves rely on: importing the web process pools nothing."""
    database = connections.settings["default"]
    pooling.use_pool()
    assert "pool" not in database["OPTIONS"]
    assert database["CONN_MAX_AGE"] == 0


def test_pool_holds_the_connections_to_the_own_database_only(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    legacy: dict[str, Any] = {"OPTIONS": {}, "CONN_MAX_AGE": 600}
    own: dict[str, Any] = {"OPTIONS": {}, "CONN_MAX_AGE": 600}
    monkeypatch.setattr(connections, "settings", {"default": own, "legacy": legacy})
    monkeypatch.setattr(connections, "close_all", lambda: None)
    monkeypatch.setattr("atexit.register", lambda close: None)
    settings.DATABASE_POOL_SIZE = POOL_SIZE
    pooling.use_pool()
    assert own["OPTIONS"]["pool"]["max_size"] == POOL_SIZE
    # SQLite and MySQL know no pool.
    assert legacy == {"OPTIONS": {}, "CONN_MAX_AGE": 0}
