"""Following a run in the terminal to its end, or to where it stops and asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TextIO

from django.core.management.base import CommandError

from migrationsync import runs
from migrationsync.exceptions import CannotRun
from migrationsync.management.asking import USAGE
from migrationsync.models import SynchronizationJob, SynchronizationRun
from migrationsync.services import running as services
from migrationsync.services.running import Started
from operations.following import follow_in_view
from operations.terminal import ProgressView


class RunView(ProgressView):
    """Ends with its run, whatever its job does then: one that recurs waits for the next."""

    def __init__(self, stream: TextIO, run: SynchronizationRun) -> None:
        super().__init__(stream, units={str(part): "records" for part in runs.parts(run)})
        self._run = run

    def show_snapshot(self, snapshot: dict[str, Any]) -> None:
        super().show_snapshot(snapshot)
        self._look()

    def show_event(self, event: dict[str, Any]) -> None:
        super().show_event(event)
        if self.has_ended or event["name"].endswith(".paused"):
            self._look()

    def _look(self) -> None:
        """The run is as it is now, its job too."""
        run = self._run
        run.refresh_from_db(from_queryset=SynchronizationRun.objects.select_related("job"))
        if not run.is_open or run.open_question:
            self.has_ended = True


def started(
    job: SynchronizationJob,
    purpose: SynchronizationRun.Purpose | None = None,
    *,
    entities: Sequence[str] | None = None,
    **options: Any,
) -> Started:
    """Starts a run, or answers the open one that was asked for the same. `options` are the
    service's; those that are empty weren't asked for.

    Raises CommandError when another one is open, or it was asked for wrongly.
    """
    asked = {name: value for name, value in options.items() if value}
    try:
        return services.start_run(job, by=None, purpose=purpose, entities=entities, options=asked)
    except CannotRun as error:
        raise CommandError(str(error), returncode=USAGE if error.option else 1) from error


def follow_run(run: SynchronizationRun, stream: TextIO, *, then: str) -> None:
    """Shows its progress; the run and its job are as they are then.

    `then` is what to say to somebody who interrupts. Raises CommandError when somebody interrupts
    (the run goes on) or the job is deleted.
    """
    follow_in_view(run.job, RunView(stream, run), goes_on=run, then=then)
