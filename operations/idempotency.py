"""Asking twice is asking once: what a key was answered with, it is answered with again.

`answered` and `remember` are called in the transaction that starts the operation. Two
requests with one key wait for each other there, so that the second finds the first's.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

from django.db import connection

from operations.exceptions import IdempotencyKeyReused
from operations.models import IdempotencyKey, Operation


class Request(NamedTuple):
    """`content` is what was asked for, as JSON values: the same key can't mean two things."""

    kind: str
    user: Any
    key: str
    content: list[Any]

    @property
    def hash(self) -> str:
        return hashlib.sha256(json.dumps(self.content).encode()).hexdigest()


def answered(request: Request) -> str | None:
    """The id of the operation this key was answered with, or None for a new key.

    Raises IdempotencyKeyReused when the key came with another request.
    """
    owner = request.user.pk if request.user else 0
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"{request.kind}:{owner}:{request.key}"],
        )
    earlier = IdempotencyKey.objects.filter(
        kind=request.kind, user=request.user, key=request.key
    ).first()
    if earlier is None:
        return None
    if earlier.request_hash != request.hash:
        raise IdempotencyKeyReused(
            f"Idempotency-Key {request.key!r} was used for another request ({request.kind} "
            f"{earlier.operation_id}): send a new key with a new request."
        )
    return earlier.operation_id


def remember(request: Request, operation: Operation) -> None:
    """From now on the key is answered with `operation`. Call it after `answered`."""
    IdempotencyKey.objects.create(
        kind=request.kind,
        user=request.user,
        key=request.key,
        request_hash=request.hash,
        operation_id=str(operation.pk),
    )
