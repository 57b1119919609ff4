"""Token authentication for websockets: scripts send the header they send to the API.

Browsers come with their session, and can't send this header; so where it stands the
browser's protections (the Origin, the session) have nothing to protect.
"""

from __future__ import annotations

from typing import Any

from channels.db import database_sync_to_async
from django.contrib.auth.models import AnonymousUser
from rest_framework.authtoken.models import Token


class TokenAuthMiddleware:
    """`Authorization: Token <key>` goes to `app` with its user, everything else `otherwise`.

    Sets `scope["user"]`; a wrong token is anonymous, whatever session comes with it.
    """

    def __init__(self, app: Any, *, otherwise: Any) -> None:
        self.app = app
        self.otherwise = otherwise

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        scheme, _, key = header.partition(" ")
        if scheme.lower() == "token":
            scope = {**scope, "user": await _user(key.strip())}
            return await self.app(scope, receive, send)
        return await self.otherwise(scope, receive, send)


@database_sync_to_async
def _user(key: str) -> Any:
    # No key has a NUL, and PostgreSQL refuses to look for one.
    if "\0" in key:
        return AnonymousUser()
    token = Token.objects.select_related("user").filter(key=key, user__is_active=True).first()
    return token.user if token else AnonymousUser()
