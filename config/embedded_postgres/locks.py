"""The flocks of the server's folder, and how long anything here waits."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from config.embedded_postgres.cluster import Cluster, EmbeddedPostgresError

WAIT_SECONDS = 30
POLL_SECONDS = 0.02


def attempts() -> Iterator[None]:
    """Every wait here: look, pause, look again, for WAIT_SECONDS."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        yield
        time.sleep(POLL_SECONDS)


def open_lock(cluster: Cluster, name: str) -> int:
    """A descriptor that programs we start don't inherit (Python's default)."""
    try:
        descriptor = os.open(cluster.folder / name, os.O_RDWR | os.O_CREAT, 0o600)
    except PermissionError as error:
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL in {cluster.folder} belongs to another user. Run as that "
            "user, remove the folder, or set EMBEDDED_POSTGRES_DIR to a folder of your own."
        ) from error
    if account := cluster.account:
        os.fchown(descriptor, account.uid, account.gid)
    return descriptor


@contextlib.contextmanager
def start_lock(cluster: Cluster) -> Iterator[None]:
    """Only one process at a time decides whether the server has to start or stop."""
    with _exclusive(cluster, "start.lock", "another process is starting or stopping it"):
        yield


@contextlib.contextmanager
def server_lock(cluster: Cluster) -> Iterator[int]:
    """For PostgreSQL's own processes: pass them the descriptor, and the lock lives exactly
    as long as the last of them, whatever becomes of us."""
    with _exclusive(cluster, "server.lock", "processes of an earlier start are busy") as lock:
        yield lock


@contextlib.contextmanager
def _exclusive(cluster: Cluster, name: str, meaning: str) -> Iterator[int]:
    descriptor = open_lock(cluster, name)
    try:
        for _ in attempts():
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
        else:
            raise cluster.error(f"{meaning}, since {WAIT_SECONDS} s.")
        yield descriptor
    finally:
        os.close(descriptor)


def is_locked(cluster: Cluster, name: str) -> bool:
    """Whether anyone holds this lock, who may be ourselves. Only under the start lock."""
    descriptor = open_lock(cluster, name)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
