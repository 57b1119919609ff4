"""Where things are in the server's folder, and what they say. Writes none of them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from config.embedded_postgres.programs import Account, server_account
from config.env import ROOT, env

PORT = 5432  # names the socket file; there is no TCP port
SOCKET_NAME = f".s.PGSQL.{PORT}"

# The longest socket path that both Linux (107 bytes) and macOS (103) take.
SOCKET_PATH_BYTES = 103
# Not the process's own temporary folder: that may be long too, and differ between users
# of one server. /tmp is where PostgreSQL itself puts sockets by default.
SHORT_SOCKET_PARENT = Path("/tmp")  # noqa: S108 - owner and mode are checked before use


class EmbeddedPostgresError(RuntimeError):
    """The server couldn't be created, started or stopped; the message says what to look at."""


def is_live_postgres(pid: int) -> bool:
    """False for a zombie too: a container without an init process never reaps it."""
    try:
        process = psutil.Process(pid)
        return process.name() == "postgres" and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass(frozen=True)
class Postmaster:
    """What `postmaster.pid` says; it may be stale."""

    pid: int
    socket_folder: Path
    status: str  # starting, ready, stopping

    @property
    def is_alive(self) -> bool:
        return is_live_postgres(self.pid)

    @property
    def accepts_connections(self) -> bool:
        if self.status != "ready":
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(self.socket_folder / SOCKET_NAME))
            except (TimeoutError, BlockingIOError):
                return True  # it listens, and is busy
            except OSError:
                return False
        return True

    def stop(self) -> None:
        """Ask for a fast shutdown: sessions are ended, data is written, the process exits."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGINT)


@dataclass(frozen=True)
class Cluster:
    """One folder, and where things are in it."""

    folder: Path

    @classmethod
    def at(cls, data_dir: Path | None) -> Cluster:
        configured = data_dir or env("EMBEDDED_POSTGRES_DIR") or ROOT / ".local" / "postgres"
        return cls((ROOT / configured).resolve())

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def account(self) -> Account | None:
        return server_account(self.data)

    @property
    def socket_path_is_short(self) -> bool:
        """Whether a client can name a socket in the data folder."""
        return len(os.fsencode(self.data / SOCKET_NAME)) <= SOCKET_PATH_BYTES

    @property
    def short_socket_folder(self) -> Path:
        digest = hashlib.sha256(os.fsencode(self.data)).hexdigest()
        return SHORT_SOCKET_PARENT / f"encore-postgres-{digest[:16]}"

    @property
    def process_title(self) -> str:
        """The server's `cluster_name`, which its processes carry in their titles. The folder's
        identity rather than its path: a project may be moved while its server runs."""
        found = self.data.stat()
        return f"encore-{found.st_dev:x}-{found.st_ino:x}"

    @property
    def postmaster(self) -> Postmaster | None:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None
        if not lines or not lines[0].isdigit():
            return None
        socket_folder = self.data / (lines[4] if len(lines) > 4 else ".")
        status = lines[7].strip() if len(lines) > 7 else "starting"
        return Postmaster(int(lines[0]), socket_folder, status)

    def error(self, what: str) -> EmbeddedPostgresError:
        """`what`, with the folder and the end of the server's log."""
        try:
            tail = self.log.read_text(errors="replace").splitlines()[-20:]
        except FileNotFoundError:
            tail = ["(there is no log yet)"]
        return EmbeddedPostgresError(
            f"Embedded PostgreSQL in {self.folder}: {what}\n"
            f"The end of {self.log}:\n" + "\n".join(tail)
        )
