"""Many websockets that note when each event reaches them, in processes of their own.

Both sides: `Sockets` starts the processes; `python -m benchmarks.sockets` is one of them.
It says `open` once all of its sockets were sent their first message, and ends when each of
them has received the last event. Knows no Django: what it costs is the same for everyone
who is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

PROCESSES = 2
# How many handshakes a process has under way at once; a server's backlog is 128.
CONNECTING_AT_ONCE = 25
OPEN_SECONDS = 180.0
# Beside the sockets themselves: files, pipes, libraries.
OTHER_FILES = 200

# What one socket saw: (sequence, seconds since the epoch) in the order of arrival.
Arrivals = list[tuple[int, float]]


class SocketsFailed(Exception):
    """Some socket was not let in, was closed, or waits for what doesn't come."""


class TooFewFiles(Exception):
    """The system doesn't let a process have so many sockets open."""


def allow_open_files(sockets: int) -> None:
    """Raise this process's limit for `sockets` and what else it needs; children inherit it.

    Raises TooFewFiles.
    """
    needed = sockets + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise TooFewFiles(
            f"{sockets} sockets need {needed} open files and the limit is {hard}: raise it "
            "(ulimit -Hn), or measure fewer sockets."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class Sockets:
    """`count` sockets to `url`, open once the `with` block is entered. Raises SocketsFailed."""

    def __init__(self, url: str, *, count: int, token: str = "", last_event: str) -> None:
        self._command = [
            *(sys.executable, "-m", "benchmarks.sockets"),
            *("--url", url, "--token", token, "--last-event", last_event),
        ]
        shares = [count // PROCESSES + (n < count % PROCESSES) for n in range(PROCESSES)]
        self._shares = [share for share in shares if share]
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="encore-sockets-")
        try:
            for number, share in enumerate(self._shares):
                output = ["--output", str(self._output(number))]
                self._processes.append(
                    subprocess.Popen(
                        [*self._command, "--count", str(share), *output],
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                )
            for process in self._processes:
                if cast(IO[str], process.stdout).readline() != "open\n":
                    raise SocketsFailed("A socket could not be opened; its error is above.")
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave()

    def have_ended(self) -> bool:
        """Has every socket received the last event? Raises SocketsFailed."""
        codes = [process.poll() for process in self._processes]
        if any(codes):
            raise SocketsFailed("A socket was closed before the last event; its error is above.")
        return None not in codes

    def arrivals(self) -> list[Arrivals]:
        """What each socket saw. Once they have ended."""
        found: list[Arrivals] = []
        for number in range(len(self._processes)):
            found += json.loads(self._output(number).read_text())
        return [[(sequence, at) for sequence, at in socket] for socket in found]

    def _output(self, number: int) -> Path:
        return Path(self._folder.name) / f"arrivals-{number}.json"

    def _leave(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()
        self._folder.cleanup()


# --- one of the processes ---------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sockets")
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", default="")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--last-event", required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    allow_open_files(options.count)
    arrivals = asyncio.run(
        _watch_all(options.url, options.token, options.count, options.last_event)
    )
    options.output.write_text(json.dumps(arrivals))
    return 0


async def _watch_all(url: str, token: str, count: int, last_event: str) -> list[Arrivals]:
    loop = asyncio.get_running_loop()
    server = parse_uri(url)
    watchers = [Watcher(url, token, last_event) for _ in range(count)]
    doors = asyncio.Semaphore(CONNECTING_AT_ONCE)

    async def open_one(watcher: Watcher) -> None:
        async with doors:
            await loop.create_connection(lambda: watcher, server.host, server.port)
            await watcher.opened

    async with asyncio.timeout(OPEN_SECONDS):
        await asyncio.gather(*(open_one(watcher) for watcher in watchers))
    # A collection in the middle of an event would be counted as the server's delay.
    gc.freeze()
    gc.disable()
    sys.stdout.write("open\n")
    sys.stdout.flush()
    await asyncio.gather(*(watcher.ended for watcher in watchers))
    return [watcher.arrivals() for watcher in watchers]


class Watcher(asyncio.Protocol):
    """One socket, as cheap as it can be, so that the server's time is what is seen.

    What arrives is stamped and kept; it is read as JSON when all is over.
    """

    def __init__(self, url: str, token: str, last_event: str) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._token = token
        self._last_event = last_event.encode()
        self._socket = ClientProtocol(parse_uri(url))
        self._received: list[tuple[float, bytes]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        request = self._socket.connect()
        if self._token:
            request.headers["Authorization"] = f"Token {self._token}"
        self._socket.send_request(request)
        self._send()

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self._socket.receive_data(data)
        for message in self._socket.events_received():
            if isinstance(message, Frame) and message.opcode is Opcode.TEXT:
                self._received.append((now, bytes(message.data)))
                if not self.opened.done():
                    self.opened.set_result(None)
                if self._last_event in message.data and not self.ended.done():
                    self.ended.set_result(None)
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        lost = SocketsFailed(f"The server closed a socket with {self._socket.close_code}.")
        for awaited in (self.opened, self.ended):
            if not awaited.done():
                awaited.set_exception(lost)

    def arrivals(self) -> Arrivals:
        messages = [(at, json.loads(text)) for at, text in self._received]
        return [(m["event"]["sequence"], at) for at, m in messages if m["type"] == "event"]

    def _send(self) -> None:
        """The handshake, and the answers to the server's pings."""
        for data in self._socket.data_to_send():
            self._transport.write(data)


if __name__ == "__main__":
    sys.exit(main())
