"""Speaks to a running Encore as an integration does: REST with a token, and the websocket.

Knows addresses and headers; doesn't know what the caller wants of them.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect
from websockets.typing import Origin

from operations.consumers import BAD_REQUEST, HEARTBEAT_SECONDS, NOT_FOUND, UNAUTHENTICATED
from operations.terminal import ProgressView

# A large document is validated and written before the answer comes.
TIMEOUT_SECONDS = 300.0
RECEIVE_SECONDS = 1.0
# The server speaks at least every HEARTBEAT_SECONDS; longer silence is a dead link.
SILENCE_SECONDS = 2 * HEARTBEAT_SECONDS
RECONNECT_SECONDS = 1.0
# Close codes after which coming back is of no use; daphne sends no reason along.
REFUSALS = {
    BAD_REQUEST: "The server doesn't understand from which event on it is to be watched.",
    UNAUTHENTICATED: "The server doesn't know the token.",
    NOT_FOUND: "There is no such operation, or it isn't yours to see.",
}


class RequestRefused(Exception):
    """The server's answer is an error; the message is the server's."""


class Client:
    """One server, one user."""

    def __init__(self, address: str, *, token: str) -> None:
        """`address`: scheme, host and port."""
        self._address = address
        self._host = urlsplit(address).netloc
        self._authorization = {"Authorization": f"Token {token}"}

    def get(self, path: str) -> Any:
        return self._request("GET", path)

    def post(self, path: str, body: bytes, *, headers: Mapping[str, str] | None = None) -> Any:
        """The answer's JSON. `body` is JSON. Raises RequestRefused and OSError."""
        return self._request(
            "POST", path, body, {"Content-Type": "application/json", **(headers or {})}
        )

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        connection = http.client.HTTPConnection(self._host, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, body, {**self._authorization, **(headers or {})})
            response = connection.getresponse()
            answer = response.read().decode()
        except http.client.HTTPException as error:
            raise RequestRefused(f"{method} {path} got no answer: {error!r}") from error
        finally:
            connection.close()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise RequestRefused(f"{method} {path} was refused: {_reason(response, answer)}")
        return json.loads(answer)

    def watch(
        self, kind: str, operation_id: int | str, view: ProgressView, *, check: Callable[[], None]
    ) -> None:
        """Show the operation in `view` to its end, over as many connections as that takes.

        A new connection asks for the events after the last one shown, so nothing is lost
        or shown twice. `check` is called about once a second; what it raises ends the
        watching. Raises RequestRefused when the server says that it is of no use.
        """
        url = f"{self._address.replace('http', 'ws', 1)}/ws/operations/{kind}/{operation_id}/"
        after = ""
        while not view.has_ended:
            try:
                with connect(
                    url + after,
                    additional_headers=self._authorization,
                    origin=Origin(self._address),
                    proxy=None,
                ) as link:
                    self._receive(link, view, check, is_new=not after)
            except ConnectionClosed as closed:
                if closed.rcvd and closed.rcvd.code in REFUSALS:
                    raise RequestRefused(REFUSALS[closed.rcvd.code]) from closed
            except (OSError, InvalidHandshake):
                pass  # the server may be coming back
            check()
            if not view.has_ended:
                view.say("The link was lost; connecting again.")
                time.sleep(RECONNECT_SECONDS)
            if view.sequence:
                after = f"?after={view.sequence}"

    @staticmethod
    def _receive(link: Any, view: ProgressView, check: Callable[[], None], *, is_new: bool) -> None:
        """Until the operation's end, or until the link has been silent for too long."""
        heard_at = time.monotonic()
        while not view.has_ended and time.monotonic() - heard_at < SILENCE_SECONDS:
            check()
            try:
                message = json.loads(link.recv(timeout=RECEIVE_SECONDS))
            except TimeoutError:
                continue
            heard_at = time.monotonic()
            if message["type"] == "event":
                view.show_event(message["event"])
            elif message["type"] == "snapshot" and is_new:
                # Later ones tell nothing that the events after `?after=` don't.
                view.show_snapshot(message["operation"])


def _reason(response: http.client.HTTPResponse, answer: str) -> str:
    """What a problem document says, or whatever else there is to say."""
    try:
        return str(json.loads(answer)["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{response.status} {response.reason}"
