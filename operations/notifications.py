"""The bell: how the operations that a user asked for have ended, until they were shown it.

Owns what is unseen and the hint that it has changed; `Operation.seen_at` is where it is
kept. Doesn't own the pages that show an end: they call `mark_seen`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet, Value
from django.utils import timezone

from operations import events, kinds
from operations.models import Operation

# A bell with more than these says "20+".
MOST = 20


def unseen(user: Any) -> list[Operation]:
    """The latest first; at most MOST + 1, so that the caller knows whether there are more."""
    found: list[Operation] = []
    for operations in _unseen(user):
        found += operations.order_by("-ended_at")[: MOST + 1]
    found.sort(key=lambda operation: operation.ended_at or operation.created_at, reverse=True)
    return found[: MOST + 1]


def count(user: Any) -> int:
    """At most MOST + 1. One query, however many kinds there are: each page asks."""
    # Not their keys: those of two kinds may be of types that don't go into one column.
    each = [
        operations.order_by().annotate(one=Value(1)).values_list("one")[: MOST + 1]
        for operations in _unseen(user)
    ]
    if not each:
        return 0
    return len(each[0].union(*each[1:], all=True)[: MOST + 1])


def mark_seen(operation: Operation, user: Any) -> None:
    """The end of `operation` was shown to `user`; nothing if it isn't theirs or hasn't ended."""
    if operation.requested_by_id != user.pk or not operation.ended_at or operation.seen_at:
        return
    operation.seen_at = timezone.now()
    operation.save(update_fields=["seen_at"])
    _ring(user.pk)


def mark_all_seen(user: Any) -> None:
    for operations in _unseen(user):
        operations.update(seen_at=timezone.now())
    _ring(user.pk)


def announce(operation: Operation) -> None:
    """Call it in the transaction in which the operation ends."""
    if operation.requested_by_id:
        _ring(operation.requested_by_id)


def group_name(user_id: int) -> str:
    """The channel layer's group of a user's open bells."""
    return f"notifications.{user_id}"


def _ring(user_id: int) -> None:
    events.broadcast(group_name(user_id), {"type": "notifications.changed"})


def _unseen(user: Any) -> Iterator[QuerySet[Any]]:
    if user.is_authenticated:
        for kind in kinds.all_kinds():
            yield kind.operation._default_manager.filter(
                requested_by=user, ended_at__isnull=False, seen_at__isnull=True
            )
