"""Following an operation from the database, for commands that wait for its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import django.db
from django.core.exceptions import ObjectDoesNotExist
from django.core.management.base import CommandError

from operations import events
from operations.models import Operation
from operations.queue.heartbeat import is_queue_alive
from operations.snapshots import snapshot
from operations.terminal import ProgressView

INTERRUPTED = 130
POLL_SECONDS = 0.2
PAGE = 500
# An idle cluster is probed every few seconds; older than this is not alive.
BEAT_AGE_SECONDS = 15.0
# Workers that have just been started are given this long before anybody is told.
QUIET_SECONDS = 4.0


def follow_in_terminal(
    operation: Operation,
    options: dict[str, Any],
    *,
    to_stderr: bool = False,
    units: Mapping[str, str] | None = None,
) -> None:
    """Follow it for a management command, whose `options` name the streams; `units` are as
    `ProgressView` takes them. Raises as `follow_in_view`.
    """
    stream = progress_stream(options, to_stderr=to_stderr)
    follow_in_view(operation, ProgressView(stream, units=units))


def progress_stream(options: Mapping[str, Any], *, to_stderr: bool = False) -> TextIO:
    """Where a management command's progress goes."""
    # Not the command's own stream: that ends everything it is given with a line feed, a bar's
    # parts too.
    if to_stderr:
        return options.get("stderr") or sys.stderr
    return options.get("stdout") or sys.stdout


def follow_in_view(
    operation: Operation, view: ProgressView, *, goes_on: object = None, then: str = ""
) -> None:
    """Follow it for a management command in a view of its own.

    Raises CommandError when somebody interrupts (`goes_on` says what does, where it isn't the
    operation, and `then` what else there is to say) or when it is deleted.
    """
    try:
        with view:
            follow(operation, view)
    except KeyboardInterrupt:
        told = f"No longer followed; {goes_on or operation} goes on. {then}"
        raise CommandError(told.rstrip(), returncode=INTERRUPTED) from None
    except ObjectDoesNotExist:
        raise CommandError(f"{operation} was deleted.") from None


def follow(operation: Operation, view: ProgressView) -> None:
    """Show what happens until the operation ends; it is as it ended then.

    Says so, once, when nothing moves because no worker runs. Raises the model's
    DoesNotExist if the operation is deleted meanwhile.
    """
    operation.refresh_from_db()
    view.show_snapshot(snapshot(operation))
    quiet_since = time.monotonic()
    is_told = False
    while not view.has_ended:
        time.sleep(POLL_SECONDS)
        django.db.close_old_connections()
        for event in events.after(operation.kind, operation.pk, view.sequence)[:PAGE]:
            view.show_event(event.as_message())
            quiet_since = time.monotonic()
        operation.refresh_from_db()
        if not is_told and time.monotonic() - quiet_since >= QUIET_SECONDS:
            is_told = True
            if not is_queue_alive(BEAT_AGE_SECONDS):
                view.say("No worker is running, so nothing moves: start manage.py run_workers.")
    operation.refresh_from_db()
