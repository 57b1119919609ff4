"""Token authentication for websockets: scripts send the header they send to the API.

Browsers come with their session; this only looks when a header is there.
"""

from __future__ import annotations

from typing import Any

from channels.db import database_sync_to_async
from django.contrib.auth.models import AnonymousUser
from rest_framework.authtoken.models import Token


class TokenAuthMiddleware:
    """Sets `scope["user"]` from `Authorization: Token <key>`; a wrong token is anonymous."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        scheme, _, key = header.partition(" ")
        if scheme.lower() == "token":
            scope = {**scope, "user": await _user(key.strip())}
        return await self.app(scope, receive, send)


@database_sync_to_async
def _user(key: str) -> Any:
    token = Token.objects.select_related("user").filter(key=key, user__is_active=True).first()
    return token.user if token else AnonymousUser()
