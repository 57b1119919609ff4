"""Real processes in tests: `manage.py …` on the running test's own database.

Owns starting, watching, waiting and the clean-up: whatever a test leaves behind is killed,
down to the last process that came of it. A test that starts processes needs committed
rows: mark it `django_db(transaction=True)` and `processes`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote, urlencode

import psutil
import pytest
from django.conf import settings
from django.db import connection

MARK_VARIABLE = "ENCORE_TEST_PROCESS"
DEADLINE_SECONDS = 60.0
Answer = TypeVar("Answer")


def wait_until(
    condition: Callable[[], Answer], what: str, *, deadline_seconds: float = DEADLINE_SECONDS
) -> Answer:
    """Poll `condition` until it answers with something true, and return that."""
    deadline = time.monotonic() + deadline_seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited {deadline_seconds:g} s in vain: {what}"
        time.sleep(0.05)
    return answer


def database_url() -> str:
    """Where the running test's database is, for a process of its own."""
    database = connection.settings_dict
    user = quote(database["USER"] or "", safe="")
    if database["PASSWORD"]:
        user += ":" + quote(database["PASSWORD"], safe="")
    host, port = database["HOST"] or "", database["PORT"]
    query = {}
    if host.startswith("/"):  # a unix socket's folder, where a URL has no place for it
        query["host"], host = host, ""
    if "host" in database["OPTIONS"]:
        query["host"] = database["OPTIONS"]["host"]
    server = f"{host}:{port}" if host and port else host
    url = f"postgres://{user}@{server}/{database['NAME']}"
    return f"{url}?{urlencode(query)}" if query else url


class ManagedProcess:
    """One `manage.py` process and everything that comes of it."""

    def __init__(
        self,
        *arguments: str,
        output_path: Path,
        settings_module: str,
        environment: dict[str, str],
    ) -> None:
        self._mark = uuid.uuid4().hex
        self._output_path = output_path
        with output_path.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments],
                cwd=settings.BASE_DIR,
                env={
                    **os.environ,
                    "DATABASE_URL": database_url(),
                    "DJANGO_SETTINGS_MODULE": settings_module,
                    **environment,
                    MARK_VARIABLE: self._mark,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def output(self) -> str:
        """What it and its children wrote so far, standard output and error."""
        return self._output_path.read_text(errors="replace")

    def children(self) -> list[psutil.Process]:
        """The direct children, oldest first."""
        return children_of(psutil.Process(self.pid))

    def living(self) -> set[psutil.Process]:
        """All that came of it and is there, itself included, wherever it was reparented."""
        found = set()
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if process.environ().get(MARK_VARIABLE) == self._mark:
                    found.add(process)
        return found

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, *, deadline_seconds: float = DEADLINE_SECONDS) -> int:
        """Its exit status, once it has ended."""
        return self._process.wait(deadline_seconds)

    def kill(self) -> None:
        """Kill it and all that came of it. Harmless when it has ended."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while living := self.living():
            assert time.monotonic() < deadline, f"{living} won't die"
            for process in living:
                with suppress(psutil.Error):
                    process.kill()
            time.sleep(0.02)
        self._process.wait()


class StartProcess(Protocol):
    def __call__(
        self, *arguments: str, settings_module: str = ..., environment: dict[str, str] | None = ...
    ) -> ManagedProcess: ...


@pytest.fixture
def start_process(transactional_db: None, tmp_path: Path) -> Iterator[StartProcess]:
    """Start `manage.py <arguments>`; killed, with its output shown, when the test ends.

    Depends on the database so that the processes are gone before its tables are emptied.
    """
    started: list[ManagedProcess] = []

    def start(
        *arguments: str,
        settings_module: str = "config.settings.test",
        environment: dict[str, str] | None = None,
    ) -> ManagedProcess:
        process = ManagedProcess(
            *arguments,
            output_path=tmp_path / f"process-{len(started)}.log",
            settings_module=settings_module,
            environment=environment or {},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        sys.stderr.write(process.output())


def children_of(process: psutil.Process) -> list[psutil.Process]:
    """The direct children that live, oldest first."""
    living = []
    for child in process.children():
        with suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                living.append(child)
    return sorted(living, key=lambda child: (child.create_time(), child.pid))
