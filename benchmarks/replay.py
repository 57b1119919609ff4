"""`python -m benchmarks.replay`: group-send recorded events to the bare consumers, at their pace.

Both sides: `Replay` starts the process that sends. Each event is stamped just before it is
sent, however late it is, so that nothing but the sending and the delivery counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self, cast

from channels.layers import get_channel_layer


class Sent(NamedTuple):
    """An event and when it was committed (ours) or sent (the opponent's), epoch seconds."""

    at: float
    event: dict[str, Any]


class ReplayFailed(Exception):
    """The sending process ended with an error."""


class Replay:
    """Sends `stream` at the intervals of its times, inside the `with` block."""

    def __init__(self, stream: list[Sent]) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="encore-replay-")
        recorded = Path(self._folder.name) / "recorded.json"
        recorded.write_text(json.dumps(self._stream))
        self._times = Path(self._folder.name) / "sent.json"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.replay", str(recorded), str(self._times)],
            stdin=subprocess.PIPE,
            text=True,
        )
        return self

    def start(self) -> None:
        """The first event is sent now; whatever had to be loaded for that has been."""
        cast(IO[str], self._process.stdin).close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def has_ended(self) -> bool:
        """Raises ReplayFailed."""
        code = self._process.poll()
        if code:
            raise ReplayFailed("The events could not be sent again; the error is above.")
        return code is not None

    def sent(self) -> list[Sent]:
        """When each event was sent. Once it has ended."""
        times = json.loads(self._times.read_text())
        return [Sent(at, event) for at, (_, event) in zip(times, self._stream, strict=True)]


# --- the process ----------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay")
    parser.add_argument("recorded", type=Path)
    parser.add_argument("times", type=Path)
    options = parser.parse_args()
    import django

    django.setup()
    stream = [Sent(at, event) for at, event in json.loads(options.recorded.read_text())]
    sys.stdin.read()  # until `start`
    options.times.write_text(json.dumps(asyncio.run(_send_all(stream))))
    return 0


async def _send_all(stream: list[Sent]) -> list[float]:
    from benchmarks.bare import GROUP

    layer = get_channel_layer()
    begin, first = time.time(), stream[0].at
    times = []
    for at, event in stream:
        await asyncio.sleep(max(begin + (at - first) - time.time(), 0))
        times.append(time.time())
        await layer.group_send(GROUP, {"type": "bare.event", "event": event})
    return times


if __name__ == "__main__":
    sys.exit(main())
