"""The web process: HTTP through Django, websockets through Channels."""
# ruff: noqa: E402 - what needs the app registry is imported once there is one

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.base")
django_application = get_asgi_application()

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator, WebsocketDenier
from django.urls import re_path

from config import pooling, telemetry
from operations.routing import websocket_urlpatterns
from operations.socket_auth import TokenAuthMiddleware

pooling.use_pool()
telemetry.configure("encore-web")

# Last, what is no path of ours: without it each stray request is a traceback in the log.
websocket_application = URLRouter([*websocket_urlpatterns, re_path(r"", WebsocketDenier.as_asgi())])
application = ProtocolTypeRouter(
    {
        "http": django_application,
        # A session comes along from whatever page opens the socket, so only from our own.
        "websocket": TokenAuthMiddleware(
            websocket_application,
            otherwise=AllowedHostsOriginValidator(AuthMiddlewareStack(websocket_application)),
        ),
    }
)
