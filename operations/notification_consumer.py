"""A user's bell over a websocket: the number of unseen ends, now and whenever it changes.

Protocol, JSON from the server only: {"count": N, "more": whether there are more than N}.
"""

from __future__ import annotations

from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from operations import notifications
from operations.consumers import UNAUTHENTICATED


class NotificationConsumer(AsyncJsonWebsocketConsumer):
    group = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Here and not in `disconnect`, which isn't called when the connection ends otherwise.
            if self.group:
                await self.channel_layer.group_discard(self.group, self.channel_name)

    async def connect(self) -> None:
        await self.accept()
        user = self.scope["user"]
        if not user.is_authenticated:
            await self.close(UNAUTHENTICATED, "Log in to be notified.")
            return
        # Joined before reading: what happens between is then in the read or on the channel.
        await self.channel_layer.group_add(notifications.group_name(user.pk), self.channel_name)
        self.group = notifications.group_name(user.pk)
        await self._tell()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """There is nothing to say to the server."""

    async def notifications_changed(self, message: dict[str, Any]) -> None:
        await self._tell()

    async def channel_resync(self, message: dict[str, Any]) -> None:
        """The layer may have lost messages."""
        await self._tell()

    async def _tell(self) -> None:
        number = await database_sync_to_async(notifications.count)(self.scope["user"])
        most = notifications.MOST
        await self.send_json({"count": min(number, most), "more": number > most})
