"""The one stream of what happened: append, replay, broadcast.

An event is written in the transaction of what it tells, with the operation's next
sequence number. Because the number is taken under the operation's row lock, which is
held until the commit, numbers are without gap and in commit order: who has read up to
N and asks for what is after N misses nothing.

The broadcast is only a hint that lets a watcher read sooner.
"""

from __future__ import annotations

import json
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import connection, models, transaction

from operations.keys import as_json
from operations.models import Event, Operation

# A hint above this size goes without the event: the watcher reads it from the table.
MAX_HINT_BYTES = 7_000


def group_name(kind: str, operation_id: object) -> str:
    """The channel layer's group of everybody who watches this operation."""
    return f"operation.{kind}.{operation_id}"


def append(
    operation: Operation, name: str, *, stage: str = "", payload: dict[str, Any] | None = None
) -> Event:
    """Write `<kind>.<name>` in the caller's transaction and broadcast it at its commit.

    The payload gets the operation's id. Locks the operation's row until the commit.
    """
    table = connection.ops.quote_name(operation._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET event_sequence = event_sequence + 1"  # noqa: S608 - own table name
            " WHERE id = %s RETURNING event_sequence",
            [operation.pk],
        )
        (sequence,) = cursor.fetchone()
    operation.event_sequence = sequence
    event = Event.objects.create(
        kind=operation.kind,
        operation_id=str(operation.pk),
        sequence=sequence,
        name=f"{operation.kind}.{name}",
        stage=stage,
        payload={"id": as_json(operation.pk), **(payload or {})},
    )
    _broadcast(event)
    return event


def after(kind: str, operation_id: object, sequence: int) -> models.QuerySet[Event]:
    """The operation's events with a number above `sequence`, in order."""
    return Event.objects.filter(
        kind=kind, operation_id=str(operation_id), sequence__gt=sequence
    ).order_by("sequence")


def announce_state(operation: Operation) -> None:
    """Have watchers look at the operation at the caller's commit: something to see has
    changed that isn't worth an event. Nothing is stored, and it may get lost."""
    broadcast(group_name(operation.kind, operation.pk), {"type": "operation.state"})


def broadcast(group: str, message: dict[str, Any]) -> None:
    """Send a hint to a group of the channel layer when the transaction commits."""
    layer = get_channel_layer()
    if hasattr(layer, "group_send_in_transaction"):
        layer.group_send_in_transaction(group, message)
    else:
        # Another layer can't take part in the transaction. A hint that is lost costs a
        # watcher nothing but the time to its next look, so a failure isn't the step's.
        transaction.on_commit(lambda: async_to_sync(layer.group_send)(group, message), robust=True)


def _broadcast(event: Event) -> None:
    message: dict[str, Any] = {"type": "operation.event", "event": event.as_message()}
    if len(json.dumps(message)) > MAX_HINT_BYTES:
        message = {"type": "operation.event", "event": None}
    broadcast(group_name(event.kind, event.operation_id), message)
