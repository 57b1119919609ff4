from __future__ import annotations

import io
import json
import time
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from django.core.management import CommandError, call_command

from migrationsync.models import SynchronizationJob
from tests.migrationsync.syncing import sync_to_end


class Result(NamedTuple):
    """What a command answered. `refusal`: what it said on standard error at its end."""

    code: int
    out: str
    refusal: str = ""

    @property
    def json(self) -> Any:
        """Raises ValueError where there is more than one JSON document."""
        return json.loads(self.out)


@pytest.fixture
def command():
    """Runs `manage.py sync …` in this process."""

    def run(*arguments: Any) -> Result:
        out, err = io.StringIO(), io.StringIO()
        try:
            call_command("sync", *map(str, arguments), stdout=out, stderr=err)
        except SystemExit as ended:
            return Result(int(ended.code or 0), out.getvalue())
        except CommandError as error:
            return Result(error.returncode, out.getvalue(), str(error))
        return Result(0, out.getvalue())

    return run


@pytest.fixture
def meanwhile(monkeypatch):
    """What is done while a command waits. It has the test's own connection, so that isn't its
    to close."""

    def set_up(act) -> None:
        clock = SimpleNamespace(sleep=lambda seconds: act(), monotonic=time.monotonic)
        monkeypatch.setattr("operations.following.time", clock)
        monkeypatch.setattr("operations.following.django.db.close_old_connections", lambda: None)

    return set_up


@pytest.fixture
def worker(meanwhile):
    """The open runs are brought to their end, or to where they stop."""

    def work() -> None:
        for job in SynchronizationJob.objects.filter(latest_run__outcome=""):
            sync_to_end(job)

    meanwhile(work)
