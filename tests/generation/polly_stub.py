"""A local server that answers as Amazon Polly does, faults included, with real sound.

(moto's Polly answers eight zero bytes.) `answers` queues what the next requests get; without
one, the answer is `sound`. `requests` keeps what came in.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.generation.audio.sounds import tone


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    # Say there is more than is sent, and hang up.
    cut_off: bool = False
    # Hang up without a word.
    hang_up: bool = False
    # Hold the answer until the stub is closed: the client's time-out comes first.
    never: bool = False


def error(status: int, code: str, message: str = "No.", **headers: str) -> Answer:
    body = json.dumps({"message": message}).encode()
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, body, {"x-amzn-ErrorType": code, **more})


@dataclass
class Stub:
    sound: bytes = field(default_factory=tone)
    url: str = ""
    answers: deque[Answer] = field(default_factory=deque)
    requests: list[dict[str, Any]] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)


@contextmanager
def polly_stub() -> Iterator[Stub]:
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/speech"
            length = int(self.headers["Content-Length"])
            stub.requests.append(json.loads(self.rfile.read(length)))
            answer = stub.answers.popleft() if stub.answers else Answer(body=stub.sound)
            if answer.never:
                stub.closed.wait()
            if answer.never or answer.hang_up:
                self.close_connection = True
                return
            self.send_response(answer.status)
            kind = "audio/mpeg" if answer.status == 200 else "application/x-amz-json-1.0"
            size = len(answer.body) + (100 if answer.cut_off else 0)
            headers = {"Content-Type": kind, "Content-Length": str(size), **answer.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = answer.cut_off

        def log_message(self, *arguments: Any) -> None:
            """Nothing: the tests look at `requests`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stub
    finally:
        stub.closed.set()
        server.shutdown()
        server.server_close()
        thread.join()
