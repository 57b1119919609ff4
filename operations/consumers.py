"""Watching one operation over a websocket: snapshot, replay, then live.

Protocol, JSON from the server only (what a client sends is ignored):

    {"type": "snapshot", "operation": {…, "sequence": N}}
    {"type": "event", "event": {"sequence": …, "name": …, "stage": …, "payload": …}}
    {"type": "heartbeat", "sequence": N}        at least every HEARTBEAT_SECONDS

Events come in order, each once, without a gap: those after `?after=SEQ` up to the
snapshot first (none without it), then what happens. A snapshot also comes each time that a wait is
prolonged, for which there is no event. The channel layer only says when to
look; for each heartbeat the table is looked at as well. What many watchers of an operation
read they read together (operations.shared_reads). Who may not watch is told by the
close code; so is a database that doesn't answer: come back and be replayed what you missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

from channels.consumer import get_handler_name
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.db import Error as DatabaseError

from operations import events, kinds
from operations.exceptions import UnknownKind
from operations.keys import key_of
from operations.models import Operation
from operations.shared_reads import REPLAY_PAGE, SharedReads, encode_hint, shared_reads
from operations.snapshots import snapshot

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15.0

# Own close codes (4000-4999 are an application's), after the HTTP statuses they are like.
BAD_REQUEST, UNAUTHENTICATED, NOT_FOUND, UNAVAILABLE = 4400, 4401, 4404, 4503

# Eighteen digits always fit a bigint.
_SEQUENCE = re.compile(r"[0-9]{1,18}")


class OperationConsumer(AsyncJsonWebsocketConsumer):
    heartbeat: asyncio.Task[None] | None = None
    # From the moment it is let in.
    reads: SharedReads | None = None
    group = ""
    sent = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Messages and the heartbeat both send events: one at a time, or order is lost.
        self.lock = asyncio.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Here and not in `disconnect`, which isn't called when the connection ends otherwise.
            await self._stop_watching()

    async def dispatch(self, message: dict[str, Any]) -> None:
        """As Channels', without its look for old connections before each message: that is a
        turn of the one thread for databases, and costs more than all the rest of a message.
        What reads the database here looks itself (`database_sync_to_async`)."""
        await getattr(self, get_handler_name(message))(message)

    async def connect(self) -> None:
        # Accepted first: a browser is told a close code, but not why a handshake failed.
        await self.accept()
        async with self._sending():
            await self._start_watching()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """There is nothing to say to the server."""

    # --- messages from the channel layer --------------------------------------

    async def operation_event(self, message: dict[str, Any]) -> None:
        event = message["event"]
        async with self._sending():
            if event is not None and event["sequence"] == self.sent + 1:
                await self._send_event(event["sequence"], encode_hint(event))
            elif event is None or event["sequence"] > self.sent:
                await self._catch_up()

    async def operation_state(self, message: dict[str, Any]) -> None:
        async with self._sending():
            await self._catch_up()
            if self.reads and (text := await self.reads.snapshot()):
                await self.send(text_data=text)

    async def channel_resync(self, message: dict[str, Any]) -> None:
        """The layer may have lost messages."""
        async with self._sending():
            await self._catch_up()

    # --- inside ---------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _sending(self) -> AsyncIterator[None]:
        async with self.lock:
            try:
                yield
            except DatabaseError as error:
                logger.warning("Closed a websocket: the database doesn't answer: %s", error)
                await self.close(UNAVAILABLE, "The database doesn't answer.")

    async def _start_watching(self) -> None:
        if not self.scope["user"].is_authenticated:
            await self.close(UNAUTHENTICATED, "Log in to watch an operation.")
            return
        after = parse_qs(self.scope["query_string"].decode("latin-1")).get("after", [""])[0]
        if after and not _SEQUENCE.fullmatch(after):
            await self.close(BAD_REQUEST, "after is not a sequence number.")
            return
        operation = await self._find()
        if operation is None:
            # Also for somebody else's operation: that it exists is not told either.
            await self.close(NOT_FOUND, "There is no such operation, or it isn't yours to see.")
            return
        # Join before reading: what happens between is then in the read or on the channel.
        group = events.group_name(operation.kind, operation.pk)
        await self.channel_layer.group_add(group, self.channel_name)
        self.group = group
        self.reads = shared_reads(operation.kind, operation.pk)
        await self._snapshot_and_replay(int(after) if after else None)

    async def _snapshot_and_replay(self, after: int | None) -> None:
        operation = await self._find()
        if operation is None:
            await self.close(NOT_FOUND, "The operation is gone.")
            return
        state = await database_sync_to_async(snapshot)(operation)
        await self.send_json({"type": "snapshot", "operation": state})
        self.sent = state["sequence"] if after is None else min(after, state["sequence"])
        if self.sent < state["sequence"]:
            await self._catch_up()
        self.heartbeat = asyncio.create_task(self._beat())

    async def _stop_watching(self) -> None:
        if self.heartbeat:
            self.heartbeat.cancel()
            await asyncio.wait([self.heartbeat])
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def _catch_up(self) -> None:
        # Who was sent away is told to look as well, until its socket is closed.
        while self.reads and (page := await self.reads.page(self.sent)):
            for sequence, text in page:
                await self._send_event(sequence, text)
            if len(page) < REPLAY_PAGE:
                return

    async def _send_event(self, sequence: int, text: str) -> None:
        self.sent = sequence
        await self.send(text_data=text)

    async def _beat(self) -> None:
        while True:
            # Watchers who came at the same moment aren't sent to at the same moment for ever.
            await asyncio.sleep(HEARTBEAT_SECONDS * random.uniform(0.8, 1))  # noqa: S311 - jitter
            async with self._sending():
                if self.reads and await self.reads.newest() > self.sent:
                    await self._catch_up()
                await self.send_json({"type": "heartbeat", "sequence": self.sent})

    @database_sync_to_async
    def _find(self) -> Operation | None:
        route = self.scope["url_route"]["kwargs"]
        try:
            model = kinds.get(route["kind"]).operation
        except UnknownKind:
            return None
        found: Operation | None = (
            model.viewable_by(self.scope["user"]).filter(pk=key_of(model, route["id"])).first()
        )
        return found
