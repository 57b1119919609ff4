"""What a person may do to an operation: one table for pages, API and commands.

Owns the verbs' names and words, what is offered when, who may, and doing one to many. What
each does, and whether it is still allowed when it is done, is `operations.control`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from django.core.exceptions import PermissionDenied

from operations import control, kinds
from operations.exceptions import OperationError
from operations.keys import key_of
from operations.models import Operation

# Done one after the other, within a request.
MAX_AT_ONCE = 200


class Verb(NamedTuple):
    """`statuses`: the display statuses in which it is offered. `is_final`: ask once more."""

    name: str
    label: str
    done: str
    explanation: str
    statuses: frozenset[str]
    act: Callable[..., Operation]
    is_final: bool = False


_RUNNABLE = ("pending", "in_progress", "waiting")

VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            "pause",
            "Pause",
            "asked to pause",
            "Stops after the steps that run now; resume goes on from there.",
            frozenset(_RUNNABLE),
            control.request_pause,
        ),
        Verb(
            "resume",
            "Resume",
            "resumed",
            "Goes on where it was paused.",
            frozenset(("paused", "pausing")),
            control.resume,
        ),
        Verb(
            "retry",
            "Retry",
            "retried",
            "Goes on from the step that failed; what is done already is kept.",
            frozenset(("failed",)),
            control.retry,
        ),
        Verb(
            "cancel",
            "Cancel",
            "asked to cancel",
            "Stops for good: it can't be resumed.",
            frozenset((*_RUNNABLE, "paused", "pausing")),
            control.request_cancel,
            is_final=True,
        ),
    )
}


class Outcome(NamedTuple):
    """What became of one of many. `operation` is None where there is none to be seen;
    `operation_id` is its key then if it can be one, or as it was given."""

    operation_id: Any
    operation: Operation | None
    refusal: str


def offered(operation: Operation, user: Any) -> list[Verb]:
    """What `user` could do to it now, in the table's order. A race may still refuse it."""
    if not operation.may_be_controlled_by(user):
        return []
    kind = kinds.get(operation.kind)
    return [
        verb
        for verb in VERBS.values()
        if operation.display_status in verb.statuses and not kind.refusal(operation, verb.name)
    ]


def apply(name: str, operation: Operation, *, by: Any) -> Operation:
    """Do the verb `name`; answers the operation as it is then.

    Raises PermissionDenied, InvalidTransition and Refused, each with what to do. `by` None
    is the operator at the terminal, who may everything.
    """
    if by is not None and not operation.may_be_controlled_by(by):
        raise PermissionDenied(
            f"{operation} is somebody else's: only they, or somebody with the permission to "
            f"change any {operation._meta.verbose_name}, can {name} it."
        )
    return VERBS[name].act(kinds.get(operation.kind), operation, by=by)


def apply_to_many(
    name: str, model: type[Operation], ids: Iterable[object], *, by: Any
) -> list[Outcome]:
    """Do the verb to each, in the ids' order; one that is refused doesn't keep the others. `ids`
    are keys, or texts for them.

    What `by` may not see is answered like what doesn't exist.
    """
    operations = model._default_manager.all() if by is None else model.viewable_by(by)
    keys = {each: key_of(model, each) for each in ids}
    found = operations.in_bulk([key for key in keys.values() if key is not None])
    outcomes = []
    for each in dict.fromkeys(each if key is None else key for each, key in keys.items()):
        operation, refusal = found.get(each), ""
        if operation is None:
            refusal = f"There is no {model._meta.verbose_name} {each}."
        else:
            try:
                operation = apply(name, operation, by=by)
            except (OperationError, PermissionDenied) as error:
                refusal = str(error)
        outcomes.append(Outcome(each, operation, refusal))
    return outcomes
