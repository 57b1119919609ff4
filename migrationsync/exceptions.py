"""What the verbs of the migration refuse, in words for whoever asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrationsync.resolving.budget import in_words
from operations.exceptions import OperationError

if TYPE_CHECKING:
    from migrationsync.comparing import Explanation
    from migrationsync.models import SynchronizationRun


class CannotRun(OperationError):
    """A run can't be started, or a job not be changed, as things are. Where it was asked for
    wrongly, `option` names of what."""

    code = "cannot_run"

    def __init__(self, message: str, *, option: str = "") -> None:
        super().__init__(message)
        self.option = option


class NotYet(CannotRun):
    """The last run is just coming to its end: the same may be asked for again in a moment."""

    code = "not_yet"


class AlreadyRunning(CannotRun):
    """The job has an open run already."""

    code = "already_running"

    def __init__(self, run: SynchronizationRun) -> None:
        self.run = run
        how = "".join(f", {name} {value}" for name, value in run.options.items())
        super().__init__(
            f"{run.job} is at it already ({run.get_purpose_display().lower()} of "
            f"{', '.join(run.entities)}{how}; run {run.number}): wait for its end, or cancel it."
        )


class CannotDecide(OperationError):
    """A record can't be resolved in this way."""

    code = "cannot_decide"


class NoSuchChoice(CannotDecide):
    """The strategy is none, or none for records that differ so: something else was to be asked."""


class NotDeclared(CannotDecide):
    """The entity was declared when the record was found, and isn't any more."""

    code = "unknown_entity"

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"{error} It was declared when these records were found: declare it again to decide "
            "about them, or leave them out."
        )


class StaleRecord(CannotDecide):
    """The record changed since it was shown; `fresh` is how it is now."""

    code = "stale_record"

    def __init__(self, fresh: Explanation, token: str) -> None:
        self.fresh = fresh
        self.token = token
        super().__init__(
            "The record changed since you looked: see how it is now, and decide again."
        )


class OverDeleteBudget(CannotDecide):
    """More records would be deleted than may be without asking."""

    code = "over_delete_budget"

    def __init__(self, question: dict[str, Any]) -> None:
        self.question = question
        super().__init__(
            f"It would delete {', '.join(in_words(question))}: more than may be deleted without "
            "asking. Approve it, or choose fewer."
        )


class CannotUndo(OperationError):
    """A change can't be undone as things are."""

    code = "cannot_undo"
