"""What the watchers of one operation read from the database, read once for all of them.

A thousand watchers that are told at the same moment to look ask for the same page: they
share one read of it, and its encoding. Owns that sharing, within one event loop. Doesn't own
who watches, nor what was sent to whom: that is each consumer's.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from channels.db import database_sync_to_async
from django.db.models import Max

from operations import events, kinds
from operations.models import Event
from operations.snapshots import snapshot

REPLAY_PAGE = 500
# A heartbeat is content with a look at the table that began not longer ago.
LOOK_SECONDS = 1.0
# So many events are under way to watchers at the same time, at most, in a calm process.
ENCODED_EVENTS = 8


class EncodedEvent(NamedTuple):
    sequence: int
    text: str


class SharedReads:
    """The reads of one operation's events. Lives as long as somebody holds it."""

    def __init__(self, kind: str, operation_id: str) -> None:
        self._kind = kind
        self._operation_id = operation_id
        self._waiting: dict[object, asyncio.Task[Any]] = {}
        self._one_at_a_time = asyncio.Lock()
        self._newest = 0
        self._looked_at = float("-inf")

    async def page(self, after: int) -> list[EncodedEvent]:
        """The next events, at most REPLAY_PAGE, after number `after`, from a read that begins now
        or later: whatever was committed before this call is seen."""
        page: list[EncodedEvent] = await self._together(after, lambda: self._page_from_table(after))
        return page

    async def snapshot(self) -> str | None:
        """The websocket's message of the operation as it is now, from a read as for `page`;
        None when it is gone. Who may see it is the caller's to know."""
        text: str | None = await self._together("snapshot", self._snapshot_from_table)
        return text

    async def newest(self) -> int:
        """The highest number in the table, 0 if there is none; at most LOOK_SECONDS old."""
        async with self._one_at_a_time:
            now = time.monotonic()
            if now - self._looked_at >= LOOK_SECONDS:
                self._newest = await self._newest_in_table()
                self._looked_at = now
            return self._newest

    async def _together(self, what: object, read: Callable[[], Awaitable[Any]]) -> Any:
        reading = self._waiting.get(what)
        if reading is None:
            reading = self._waiting[what] = asyncio.create_task(self._read(what, read))
        # One watcher that leaves doesn't take the read away from the others.
        return await asyncio.shield(reading)

    async def _read(self, what: object, read: Callable[[], Awaitable[Any]]) -> Any:
        async with self._one_at_a_time:
            # From here on nobody joins: what is committed now may be missing in what is read.
            del self._waiting[what]
            return await read()

    @database_sync_to_async
    def _page_from_table(self, after: int) -> list[EncodedEvent]:
        rows: list[Event] = list(events.after(self._kind, self._operation_id, after)[:REPLAY_PAGE])
        return [EncodedEvent(row.sequence, encode(row.as_message())) for row in rows]

    @database_sync_to_async
    def _snapshot_from_table(self) -> str | None:
        model = kinds.get(self._kind).operation
        operation = model._default_manager.filter(pk=self._operation_id).first()
        if operation is None:
            return None
        return json.dumps({"type": "snapshot", "operation": snapshot(operation)})

    @database_sync_to_async
    def _newest_in_table(self) -> int:
        newest = events.after(self._kind, self._operation_id, 0).aggregate(found=Max("sequence"))
        return newest["found"] or 0


_shared: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, str, str], SharedReads] = (
    WeakValueDictionary()
)


def shared_reads(kind: str, operation_id: object) -> SharedReads:
    """The reads that the running event loop's watchers of this operation share."""
    key = (asyncio.get_running_loop(), kind, str(operation_id))
    reads = _shared.get(key)
    if reads is None:
        reads = _shared[key] = SharedReads(kind, str(operation_id))
    return reads


# The newest first. Replaced as a whole: event loops of several threads may come here.
_encoded: tuple[tuple[dict[str, Any], str], ...] = ()


def encode_hint(event: dict[str, Any]) -> str:
    """`encode`, done once for all who received this very dict from the channel layer."""
    global _encoded
    for known, text in _encoded:
        if known is event:
            return text
    text = encode(event)
    _encoded = ((event, text), *_encoded[: ENCODED_EVENTS - 1])
    return text


def encode(event: dict[str, Any]) -> str:
    """The websocket's message of an event."""
    return json.dumps({"type": "event", "event": event})
