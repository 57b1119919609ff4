"""Which processes Encore is, and when they are ready.

The web server inherits a socket that is bound already, so no port is lost between
choosing it and using it. The worker cluster's name has the owner's process id in it:
several owners may work on one database.
"""

from __future__ import annotations

import http
import http.client
import os
import socket
import sys

from django.core.management import call_command
from django.db.models import F

from config.stack import accounts
from config.stack.accounts import Login
from config.stack.children import Children
from operations.models import ClusterHeartbeat

HOST = "127.0.0.1"
READY_SECONDS = 60.0
PORTS_TRIED = 20


class NoFreePort(Exception):
    pass


def prepare_database() -> list[Login]:
    """Apply the migrations and create the accounts. Idempotent."""
    accounts.refuse_in_production()
    call_command("migrate", verbosity=0, interactive=False)
    return accounts.ensure_accounts()


def listen(port: int) -> socket.socket:
    """A listening socket on `port` or the next free one; 0: any. Raises NoFreePort."""
    last = port + PORTS_TRIED if port else 1
    for candidate in range(port, last):
        listener = socket.socket()
        # As every server does: a port whose last connections linger is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, candidate))
            listener.listen(128)
        except (OSError, OverflowError):
            listener.close()
        else:
            return listener
    raise NoFreePort(f"No port from {port} to {last - 1} can be used: choose another with PORT=…")


def start(children: Children, listener: socket.socket) -> str:
    """Start web server and workers; return the web address once both are ready.

    Takes over `listener`. Raises ChildFailed.
    """
    port = listener.getsockname()[1]
    with listener:
        web = children.start(
            "web",
            [
                *(sys.executable, "-m", "daphne", "--fd", str(listener.fileno())),
                "config.asgi:application",
            ],
            pass_fds=[listener.fileno()],
        )
    cluster = f"{socket.gethostname()[:40]}-{os.getpid()}"
    workers = children.start(
        "workers", [sys.executable, "manage.py", "run_workers", f"--cluster={cluster}"]
    )
    children.wait_until_ready(web, lambda: _answers(port), seconds=READY_SECONDS)
    children.wait_until_ready(workers, lambda: _beats(cluster), seconds=READY_SECONDS)
    return f"http://{HOST}:{port}"


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _beats(cluster: str) -> bool:
    """Has one of its workers run something?"""
    return ClusterHeartbeat.objects.filter(cluster=cluster, beat_at__gt=F("started_at")).exists()
