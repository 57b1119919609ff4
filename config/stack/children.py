"""Child processes of one owner: start, watch, stop.

Owns their output (each line goes to one sink and the last ones are kept), their process
groups and their end. Knows nothing of what they do: the caller says when one is ready.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Self, TextIO

import psutil

from config.env import ROOT

# Gets (child's name, line). Called from one thread per child.
Sink = Callable[[str, str], None]

GRACE_SECONDS = 5.0
POLL_SECONDS = 0.05
LAST_LINES = 15


class ChildFailed(Exception):
    """A child ended by itself or wasn't ready in time. The message has its last lines."""


class Child:
    """One process that leads a session and a group of its own.

    So a terminal's Ctrl-C reaches the owner alone, which then stops its children in
    order. It is reaped only after its whole group was killed: until then the group's id
    can't be given to a stranger.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        sink: Sink,
        environment: Mapping[str, str],
        pass_fds: Sequence[int],
    ) -> None:
        self.name = name
        self._sink = sink
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "config.stack.bound", str(os.getpid()), *command],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            pass_fds=pass_fds,
            start_new_session=True,
        )
        self._reader = threading.Thread(
            target=self._read, args=[self._process.stdout], name=f"output of {name}", daemon=True
        )
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        """Doesn't reap it."""
        try:
            return psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def failure(self, what: str) -> ChildFailed:
        """`what` happened to the child, with the last lines it wrote."""
        lines = "".join(f"\n  {line}" for line in self._last_lines) or " nothing"
        return ChildFailed(f"{self.name} {what}. It wrote last:{lines}")

    def ended(self) -> ChildFailed:
        """The failure of a child that isn't running any more. Reaps it."""
        self.stop()
        status = self._process.returncode
        how = f"exit status {status}" if status >= 0 else signal.Signals(-status).name
        return self.failure(f"has ended ({how})")

    def stop(self, *, grace_seconds: float = GRACE_SECONDS) -> None:
        """SIGTERM; a second one to hurry; then SIGKILL to the group. Idempotent.

        The two requests go to the process alone, which may have children of its own to
        stop in order; each has `grace_seconds` to work. Returns when it is gone.
        """
        if self._process.returncode is not None:
            return
        for _ in range(2):
            if self.is_running():
                self._process.send_signal(signal.SIGTERM)
                self._wait(grace_seconds)
        with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a zombie's group
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        # Not for ever: something that left the group may still hold the pipe.
        self._reader.join(timeout=1)

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.is_running() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _read(self, output: TextIO) -> None:
        with output:
            for line in output:
                text = line.rstrip()
                self._last_lines.append(text)
                # Whatever became of the owner's output, the pipe must be emptied.
                with suppress(OSError, ValueError):
                    self._sink(self.name, text)


class Children:
    """The children of this process, stopped in the reverse of their order at the end.

        with raising_interrupted(), Children(sink) as children:
            web = children.start("web", […])
            children.wait_until_ready(web, answers, seconds=60)

    Start them from the main thread: they are bound to the thread that started them.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for child in reversed(self._children):
            child.stop()

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Child:
        """Start `command`, whose first word is a program's path, in the project's folder."""
        child = Child(
            name, command, sink=self._sink, environment=environment or {}, pass_fds=pass_fds
        )
        self._children.append(child)
        return child

    def check(self) -> None:
        """Raises ChildFailed if one has ended."""
        for child in self._children:
            if not child.is_running():
                raise child.ended()

    def wait_until_ready(
        self, child: Child, is_ready: Callable[[], bool], *, seconds: float
    ) -> None:
        """Poll `is_ready`. Raises ChildFailed after `seconds`, or when any child has ended."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            self.check()
            if time.monotonic() >= deadline:
                raise child.failure(f"isn't ready after {seconds:g} s")
            time.sleep(POLL_SECONDS)

    def wait(self) -> None:
        """For ever, or until one has ended: raises ChildFailed."""
        while True:
            self.check()
            time.sleep(POLL_SECONDS * 4)
