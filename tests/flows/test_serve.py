"""`manage.py serve` with a real browser's requests and a real link that breaks."""

from __future__ import annotations

import http.client
import io
import json
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from config.stack import accounts
from config.stack.client import Client, RequestRefused
from content.models import Episode
from content.synthetic import make_episode
from operations.terminal import ProgressView
from tests.processes import ManagedProcess, StartProcess, wait_until


class Recorder(ProgressView):
    """A view that keeps the events' numbers."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.seen: list[int] = []

    def show_event(self, event: dict[str, Any]) -> None:
        super().show_event(event)
        self.seen.append(event["sequence"])


class Proxy:
    """A TCP link to `target` that can be cut."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._links: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        return "http://{}:{}".format(*self._listener.getsockname())

    def cut(self) -> None:
        links, self._links = self._links, []
        for link in links:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._links += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError), source:
            while data := source.recv(65536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def served(start_process: StartProcess) -> tuple[ManagedProcess, str]:
    """A running `serve` and its address."""
    serve = start_process("serve", "--port=8000")
    wait_until(lambda: "Ctrl-C stops everything" in serve.output(), "it serves")
    found = re.search(r"^Admin +(http://[^/]+)/admin/$", serve.output(), re.MULTILINE)
    assert found
    return serve, found[1]


@pytest.fixture
def proxy(served: tuple[ManagedProcess, str]) -> Iterator[Proxy]:
    url = urlsplit(served[1])
    with closing(Proxy((str(url.hostname), url.port or 0))) as proxy:
        yield proxy


def get(address: str, path: str) -> tuple[int, str]:
    with closing(http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_serve_answers_with_styles_until_interrupted(served: tuple[ManagedProcess, str]) -> None:
    serve, address = served
    status, page = get(address, "/admin/login/")
    assert status == 200
    styles = re.findall(r'href="(/static/[^"]+\.css)"', page)
    assert styles
    assert all(get(address, style)[0] == 200 for style in styles)
    status, ready = get(address, "/readyz")
    assert (status, json.loads(ready)["status"]) == (200, "ok")

    serve.send(signal.SIGINT)
    assert serve.wait() == 0
    assert serve.output().endswith("Stopped.\n")
    assert "Traceback" not in serve.output()
    assert not serve.living()


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_client_link_cut_while_watching_misses_nothing(
    served: tuple[ManagedProcess, str], proxy: Proxy
) -> None:
    editor = get_user_model().objects.get(username=accounts.EDITOR)
    episode = make_episode(parts=4, items=50, blocks=100, owner=editor)
    client = Client(proxy.address, token=accounts.token_of(accounts.EDITOR))
    started = client.post("/api/v1/duplications", json.dumps({"episode": episode.pk}).encode())
    view = Recorder()
    cuts = 0

    def cut_twice() -> None:
        nonlocal cuts
        if cuts < 2 and len(view.seen) > 2 * cuts:
            cuts += 1
            proxy.cut()

    client.watch("duplication", started["id"], view, check=cut_twice)
    assert cuts == 2
    assert view.seen == list(range(view.seen[0], view.seen[-1] + 1))
    copy = client.get(f"/api/v1/duplications/{started['id']}")
    assert copy["event_sequence"] == view.sequence
    assert Episode.objects.get(pk=copy["new_episode"]).status == Episode.Status.DRAFT

    with pytest.raises(RequestRefused, match="There is no such operation"):
        client.watch("duplication", started["id"] + 1, Recorder(), check=lambda: None)
    with pytest.raises(RequestRefused, match=r"POST .* was refused: .*There is no episode 999"):
        client.post("/api/v1/duplications", b'{"episode": 999}')


@pytest.mark.parametrize("port", ["http", "0", "70000"])
def test_serve_bad_port_is_one_clear_line(port: str) -> None:
    with pytest.raises(CommandError, match="PORT must be a number from 1 to 65535, not"):
        call_command("serve", port=port)
