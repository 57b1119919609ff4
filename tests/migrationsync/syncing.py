"""Running synchronizations in a test, as workers would, one checkpoint after the other.

The legacy tables are the dispatch office's: offices, and the profiles that point to them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import connections

from migrationsync.dispatch.legacy.tables import OFFICE, PROFILE
from migrationsync.kind import SYNC
from migrationsync.models import SynchronizationJob, SynchronizationRun
from migrationsync.services.jobs import create_job
from migrationsync.services.running import start_run
from migrationsync.source import Source
from operations import runner
from tests.migrationsync.legacies import connected, empty

ENTITIES = ("offices", "profiles")


def made(**fields: Any) -> SynchronizationJob:
    """A job that is not for running: its source is the target itself."""
    fields = {"job_name": "Nightly", "entities_to_sync": ["offices"], "by": None, **fields}
    return create_job(source_alias="default", **fields)


class Dispatch:
    """The two legacy tables, empty at first."""

    def __init__(self, source: Source) -> None:
        self.source = source
        for table in (OFFICE, PROFILE):
            self.legacy(table.create(source.vendor))

    def legacy(self, statement, parameters=None) -> None:
        """Runs a statement in the source, as its owner."""
        with connections[self.source.alias].cursor() as cursor:
            cursor.execute(statement, parameters)

    def add_offices(self, *keys, name="Bremen", rent="812.50") -> None:
        for key in keys:
            self.legacy(
                f"INSERT INTO {OFFICE.name} (id, name, city, rent, active, opened, created, "
                "modified) VALUES (%s, %s, NULL, %s, 'Y', '2020-02-29', "
                "'2024-05-02 12:00:00', '2024-05-02 12:00:00')",
                [key, name, rent],
            )

    def add_profiles(self, *keys, office=1, name="Ada", role=1) -> None:
        for key in keys:
            self.legacy(
                f"INSERT INTO {PROFILE.name} (id, office_id, full_name, email, role_code, prefs, "
                "created, modified) VALUES (%s, %s, %s, NULL, %s, NULL, "
                "'2024-05-02 12:00:00', '2024-05-02 12:00:00')",
                [key, office, name, role],
            )

    def change(self, *keys, table=OFFICE, column="name", to="Celle") -> None:
        for key in keys:
            self.legacy(f"UPDATE {table.name} SET {column} = %s WHERE id = %s", [to, key])

    def remove(self, *keys, table=OFFICE) -> None:
        for key in keys:
            self.legacy(f"DELETE FROM {table.name} WHERE id = %s", [key])

    def job(self, **fields) -> SynchronizationJob:
        """A job over the two, made as a person makes one."""
        fields.setdefault("job_name", f"Nightly {SynchronizationJob.objects.count() + 1}")
        fields.setdefault("entities_to_sync", list(ENTITIES))
        fields.setdefault("by", None)
        return create_job(source_alias=self.source.alias, **fields)


@contextlib.contextmanager
def quick_source(legacies, blocker) -> Iterator[Source]:
    """An empty legacy database in SQLite, for tests to which the engine doesn't matter."""
    with blocker.unblock():
        database = legacies("sqlite")
        with connected(database.alias, database.config):
            empty(database.alias)
            yield Source(database.alias)


def begin(job: SynchronizationJob, purpose: str | None = None, **options) -> SynchronizationRun:
    """Start a run; nothing works on it yet."""
    options.setdefault("by", None)
    run, _ = start_run(job, purpose=purpose, **options)
    job.refresh_from_db()
    return run


def sync_to_end(job: SynchronizationJob, *, budget_seconds: float | None = None) -> list[str]:
    """Run the open checkpoints until none is runnable, or one has to wait; returns how each run
    ended. With a budget of 0, a step at a time."""
    outcomes = []
    while checkpoint := _next(job):
        outcome = str(runner.run(job.kind, checkpoint.pk, budget_seconds=budget_seconds))
        outcomes.append(outcome)
        assert outcome not in ("not_taken", "lost"), f"{checkpoint} doesn't run: {outcome}"
        if outcome == "waiting":
            break
    job.refresh_from_db()
    return outcomes


def sync(job: SynchronizationJob, purpose: str | None = None, **options) -> SynchronizationRun:
    """Start a run and bring it to its end; answers it as it is then."""
    run = begin(job, purpose, **options)
    sync_to_end(job)
    run.refresh_from_db()
    return run


def _next(job: SynchronizationJob) -> Any:
    job.refresh_from_db()
    return SYNC.jobs_of(job).filter(status__in=["pending", "in_progress"]).first()
