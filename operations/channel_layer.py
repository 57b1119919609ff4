"""The channel layer on PostgreSQL's own LISTEN/NOTIFY: messages between processes.

Owns the delivery of small messages to the consumers of every process that shares the
database. Doesn't own what happened: a message is a hint, the truth is in the tables.
A consumer that is told `channel.resync` has missed some, and reads the tables again.

Every message takes one way, also to the sender's own process: `pg_notify`, PostgreSQL,
the listening connection, the local mailboxes. So everybody sees the same order: the
order of the commits.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
import uuid
from collections.abc import Collection
from typing import Any

import psycopg
from asgiref.sync import sync_to_async
from channels.layers import BaseChannelLayer
from django.db import DEFAULT_DB_ALIAS, connections

logger = logging.getLogger(__name__)

Message = dict[str, Any]

APPLICATION_NAME = "encore-channel-layer"
POSTGRES_CHANNEL = "encore_channels"
MAX_PAYLOAD_BYTES = 7_999
"""PostgreSQL's limit. It counts the name of the group or channel and one space too."""
RESYNC_TYPE = "channel.resync"

BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_LONGEST_SECONDS = 10.0
# For a connection that only reads: without keepalives it would take a server that
# vanished for a quiet one. What the settings say in OPTIONS wins.
LISTEN_OPTIONS: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}

_names = BaseChannelLayer()  # for its rules of what a name may be


class MessageTooLarge(ValueError):
    """The message doesn't fit a notification: send ids, let the receiver read the rest."""

    def __init__(self, target: str, size: int) -> None:
        super().__init__(
            f"The message to {target} takes {size} bytes, {MAX_PAYLOAD_BYTES} is the limit: "
            "send ids and let the receiver read the rest from the database."
        )


def group_send_in_transaction(group: str, message: Message, *, using: str | None = None) -> None:
    """Send to `group` at the commit of the transaction that is open on `using`.

    Never on its rollback, and at once when no transaction is open. Within one transaction
    the order is kept and PostgreSQL delivers equal messages to the same group only once.
    `message` is any JSON object; raises MessageTooLarge before anything reaches the database.
    """
    _names.require_valid_group_name(group)
    _notify(group, message, using or DEFAULT_DB_ALIAS)


def _notify(target: str, message: Message, using: str) -> None:
    payload = _payload(target, message)
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [POSTGRES_CHANNEL, payload])


def _payload(target: str, message: Message) -> str:
    """`<group or channel> <JSON>`: names have no spaces, and who isn't meant needn't parse."""
    if not isinstance(message, dict):
        raise TypeError(f"A message is a dict, not a {type(message).__name__}.")
    payload = f"{target} {json.dumps(message, separators=(',', ':'), ensure_ascii=False)}"
    size = len(payload.encode())
    if size > MAX_PAYLOAD_BYTES:
        raise MessageTooLarge(target, size)
    return payload


class Mailbox:
    """What waits for one local channel. A reader that falls behind is told to resync."""

    __slots__ = ("_queue", "_receivers", "_seen_at")

    def __init__(self, capacity: int) -> None:
        self._queue: asyncio.Queue[Message] = asyncio.Queue(capacity)
        self._receivers = 0
        self.touch()

    def put(self, message: Message) -> None:
        """Never refuses: when full, one resync stands for the backlog and for `message`."""
        if self._queue.full():
            while not self._queue.empty():
                self._queue.get_nowait()
            message = {"type": RESYNC_TYPE}
        self._queue.put_nowait(message)

    async def get(self) -> Message:
        self._receivers += 1
        try:
            return await self._queue.get()
        finally:
            self._receivers -= 1
            self.touch()

    def touch(self) -> None:
        self._seen_at = time.monotonic()

    def is_abandoned(self, after_seconds: float) -> bool:
        return not self._receivers and time.monotonic() - self._seen_at >= after_seconds


class LocalChannels:
    """The channels and groups of one event loop, and the delivery to them. In memory only."""

    def __init__(self, *, capacity: int, expiry: float) -> None:
        # In the names of this loop's channels, so that each process knows its own.
        self.address = uuid.uuid4().hex
        self._capacity = capacity
        self._expiry = expiry
        self._sweep_at = 0.0
        self._mailboxes: dict[str, Mailbox] = {}
        self._groups: dict[str, dict[str, Mailbox]] = {}

    def mailbox(self, channel: str) -> Mailbox:
        mailbox = self._mailboxes.get(channel)
        if mailbox is None:
            self._forget_abandoned()
            mailbox = self._mailboxes[channel] = Mailbox(self._capacity)
        return mailbox

    def join(self, group: str, channel: str) -> None:
        mailbox = self.mailbox(channel)
        mailbox.touch()
        self._groups.setdefault(group, {})[channel] = mailbox

    def leave(self, group: str, channel: str) -> None:
        members = self._groups.get(group, {})
        members.pop(channel, None)
        if not members:
            self._groups.pop(group, None)

    def deliver(self, payload: str) -> None:
        """Put one notification's message, parsed once, into every mailbox it is meant for."""
        target, _, body = payload.partition(" ")
        mailboxes = self._mailboxes_of(target)
        if not mailboxes:
            return
        try:
            message = json.loads(body)
        except ValueError:
            logger.warning("Ignored a notification that is no message: %.200s", payload)
            return
        for mailbox in mailboxes:
            mailbox.put(message)

    def resync(self) -> None:
        """Tell everybody here that messages may have been missed."""
        for mailbox in self._mailboxes.values():
            mailbox.put({"type": RESYNC_TYPE})

    def _mailboxes_of(self, target: str) -> Collection[Mailbox]:
        process, specific, _ = target.partition("!")
        if not specific:
            return self._groups.get(target, {}).values()
        return [self.mailbox(target)] if process.endswith(f".{self.address}") else []

    def _forget_abandoned(self) -> None:
        """Forget consumers that ended without leaving, at a cost that isn't paid per message.

        Only a new channel makes the maps grow, so only a new channel sweeps, and not often.
        """
        now = time.monotonic()
        if now < self._sweep_at:
            return
        self._sweep_at = now + self._expiry / 10
        abandoned = [
            name for name, box in self._mailboxes.items() if box.is_abandoned(self._expiry)
        ]
        for channel in abandoned:
            del self._mailboxes[channel]
            groups = [group for group, members in self._groups.items() if channel in members]
            for group in groups:
                self.leave(group, channel)
            if groups:
                logger.warning(
                    "Removed channel %s from its groups: nobody received from it for %s s",
                    channel,
                    self._expiry,
                )


class Listener:
    """The listening connection of one event loop: opened, kept open, opened again."""

    def __init__(self, using: str, local: LocalChannels) -> None:
        self.local = local
        self._using = using
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def listening(self) -> None:
        """Return once PostgreSQL keeps messages for this loop.

        Or once it couldn't be reached: then a resync follows as soon as it can.
        """
        if self._task is None or self._task.done():
            self._tried.clear()
            self._task = asyncio.create_task(self._run(), name=APPLICATION_NAME)
        await self._tried.wait()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._tried.set()  # whoever waits for the connection waits in vain

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(**self._parameters())
                try:
                    await connection.execute(f"LISTEN {POSTGRES_CHANNEL}")
                    if failures:
                        logger.info("Listening to PostgreSQL again")
                        failures = 0
                    # From here on nothing is missed. What came before is in the tables.
                    self.local.resync()
                    self._tried.set()
                    async for notification in connection.notifies():
                        self.local.deliver(notification.payload)
                finally:
                    # Doesn't suspend, so it also runs when a loop is dropped unfinished.
                    await connection.close()
            except Exception as error:  # noqa: BLE001 - consumers rely on it: only cancelling ends it
                if not failures:
                    logger.warning("Lost the connection that listens to PostgreSQL: %s", error)
            failures += 1
            self._tried.set()
            await asyncio.sleep(_backoff_seconds(failures))

    def _parameters(self) -> dict[str, Any]:
        """Resolved at each connect: the database's name may have changed (tests swap it)."""
        parameters = LISTEN_OPTIONS | connections[self._using].get_connection_params()
        for name in ("context", "cursor_factory", "prepare_threshold"):
            parameters.pop(name, None)
        return parameters | {"application_name": APPLICATION_NAME, "autocommit": True}


def _backoff_seconds(failures: int) -> float:
    """Exponential, bounded, with equal jitter, so that processes don't return in step."""
    # The exponent is bounded as well: an outage of hours must not overflow a float.
    longest = min(BACKOFF_LONGEST_SECONDS, BACKOFF_FIRST_SECONDS * 2 ** min(failures - 1, 16))
    return random.uniform(longest / 2, longest)  # noqa: S311 - not a secret


class PostgresChannelLayer(BaseChannelLayer):
    """Channels' layer API over LISTEN/NOTIFY, with its "groups" extension.

    A message is JSON, and one parsed dict is shared by all who receive it in a process:
    receivers must not change it. A channel that holds `capacity` messages and gets one
    more receives a single `channel.resync` in their place; after a lost connection every
    channel receives one. A channel that nobody has received from for `expiry` seconds
    counts as abandoned.

    Each event loop has its own channels and its own connection, opened by the first
    `new_channel`, `receive` or `group_add`; senders use Django's connection `using`.
    That must be a session on the primary: LISTEN works neither on a standby nor through
    a pooler that hands connections out per transaction.
    """

    extensions = ["groups"]

    def __init__(
        self, *, using: str = DEFAULT_DB_ALIAS, capacity: int = 100, expiry: float = 600
    ) -> None:
        super().__init__(capacity=capacity, expiry=expiry)
        self._using = using
        self._listeners: dict[asyncio.AbstractEventLoop, Listener] = {}

    async def new_channel(self, prefix: str = "specific") -> str:
        local = await self._local()
        return f"{prefix}.{local.address}!{uuid.uuid4().hex[:12]}"

    async def receive(self, channel: str) -> Message:
        self.require_valid_channel_name(channel)
        local = await self._local()
        return await local.mailbox(channel).get()

    async def send(self, channel: str, message: Message) -> None:
        """Send to one channel of `new_channel`. Raises MessageTooLarge.

        Like `group_send` it runs on Django's connection, in the thread that Django keeps
        for it: in an open transaction of that thread it is delivered at the commit.
        """
        self.require_valid_channel_name(channel)
        if "!" not in channel:
            raise TypeError(f"Channel {channel} belongs to no process: see new_channel().")
        # Not Channels' database_sync_to_async: it closes a connection that is in a transaction.
        await sync_to_async(_notify, thread_sensitive=True)(channel, message, self._using)

    async def group_add(self, group: str, channel: str) -> None:
        """When this returns, what is committed from now on will be received (or a resync)."""
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        local = await self._local()
        local.join(group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        self.require_valid_group_name(group)
        self.require_valid_channel_name(channel)
        listener = self._listeners.get(asyncio.get_running_loop())
        if listener is not None:
            listener.local.leave(group, channel)

    async def group_send(self, group: str, message: Message) -> None:
        """Send to the members of `group` in all processes. Raises MessageTooLarge."""
        send = sync_to_async(self.group_send_in_transaction, thread_sensitive=True)
        await send(group, message)

    def group_send_in_transaction(self, group: str, message: Message) -> None:
        """The function of this name, on this layer's database: for who holds a layer."""
        group_send_in_transaction(group, message, using=self._using)

    async def close(self) -> None:
        """Stop listening in this event loop and forget its channels."""
        listener = self._listeners.pop(asyncio.get_running_loop(), None)
        if listener is not None:
            await listener.stop()

    async def _local(self) -> LocalChannels:
        loop = asyncio.get_running_loop()
        listener = self._listeners.get(loop)
        if listener is None:
            for other in list(self._listeners):
                if other.is_closed():
                    self._listeners.pop(other, None)
            local = LocalChannels(capacity=self.capacity, expiry=self.expiry)
            listener = self._listeners[loop] = Listener(self._using, local)
        await listener.listening()
        return listener.local
