"""The opponent: the least that sends a group's messages to websockets with Channels.

No login, no snapshot, no replay, no numbers, no heartbeat: a message that is lost is lost.
"""

from __future__ import annotations

import os
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.base")

GROUP = "bare"


class BareConsumer(AsyncJsonWebsocketConsumer):
    groups = [GROUP]

    async def connect(self) -> None:
        await self.accept()
        await self.send_json({"type": "open"})

    async def bare_event(self, message: dict[str, Any]) -> None:
        await self.send_json({"type": "event", "event": message["event"]})

    async def channel_resync(self, message: dict[str, Any]) -> None:
        """Told by our channel layer when it begins to listen."""


application = ProtocolTypeRouter(
    {"http": get_asgi_application(), "websocket": BareConsumer.as_asgi()}
)
