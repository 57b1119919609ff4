"""A local server that speaks OpenAI's protocol: chat completions and speech, faults included.

`answers` queues what the next requests get; without one, a right answer is made from the
request itself. `requests` keeps what came in.
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

from generation.providers import openai_provider

# The header of an MPEG 2 Layer III frame, and something behind it.
SOUND = bytes.fromhex("fff364c4") + bytes(140)


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    # Hold the answer until the stub is closed: the client's time-out comes first.
    never: bool = False
    # Say there is more than is sent, and hang up.
    cut_off: bool = False


def error(status: int, message: str = "No.", code: str | None = None, **headers: str) -> Answer:
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return Answer(
        status,
        json.dumps(body).encode(),
        {name.replace("_", "-"): value for name, value in headers.items()},
    )


def completion(
    content: str | None,
    *,
    finish_reason: str = "stop",
    refusal: str | None = None,
    usage: tuple[int, int] | None = (100, 20),
) -> Answer:
    body: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "stub",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish_reason,
                "message": {"role": "assistant", "content": content, "refusal": refusal},
            }
        ],
    }
    if usage:
        body["usage"] = {
            "prompt_tokens": usage[0],
            "completion_tokens": usage[1],
            "total_tokens": sum(usage),
        }
    return Answer(body=json.dumps(body).encode())


@dataclass
class Stub:
    base_url: str = ""
    answers: deque[Answer] = field(default_factory=deque)
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)


def right_answer(path: str, body: Mapping[str, Any]) -> Answer:
    if path.endswith("/audio/speech"):
        return Answer(body=SOUND, headers={"Content-Type": "audio/mpeg"})
    asked = body["response_format"]["json_schema"]
    material = json.loads(body["messages"][1]["content"])
    if asked["name"] == "outline":
        chapters = [
            {"part": part["part"], "title": f"About {part['title']}", "topics": part["items"]}
            for part in material["parts"]
        ]
        return completion(json.dumps({"chapters": chapters}))
    speakers = asked["schema"]["properties"]["turns"]["items"]["properties"]["speaker"]["enum"]
    turns = [
        {"speaker": speakers[index % len(speakers)], "text": passage["text"]}
        for index, passage in enumerate(material["passages"])
    ]
    return completion(json.dumps({"turns": turns}))


@contextmanager
def openai_stub() -> Iterator[Stub]:
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            stub.requests.append(body)
            stub.keys.append(self.headers["Authorization"])
            answer = stub.answers.popleft() if stub.answers else right_answer(self.path, body)
            if answer.never:
                stub.closed.wait()
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            missing = 100 if answer.cut_off else 0
            self.send_header("Content-Length", str(len(answer.body) + missing))
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = answer.cut_off

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    stub.base_url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield stub
    finally:
        stub.closed.set()
        server.shutdown()
        # Connections that a client keeps open for later would be waited for.
        server.block_on_close = False
        server.server_close()
        thread.join()


def close_client() -> None:
    """Close what the provider keeps open. Left to the garbage collector, which may finalize a
    socket before the client that would close it, it warns of it in whatever test runs then."""
    openai_provider.client().close()
    openai_provider._client_of.cache_clear()
