"""Ctrl-C, SIGTERM and SIGHUP as one exception, so that `finally` and `with` clean up after each."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Somebody wants this process to end. Not an Exception: nothing may take it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_status(self) -> int:
        """What a shell reports for a program that a signal ended."""
        return 128 + self.number


@contextmanager
def raising_interrupted() -> Iterator[None]:
    """Raise Interrupted in the main thread at the first signal and ignore what follows.

    The clean-up must not be torn by a second Ctrl-C; it has deadlines of its own. A
    SIGHUP that is ignored already (nohup) stays so.
    """
    handlers: dict[signal.Signals, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        for each in handlers:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    for each in SIGNALS:
        if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN:
            handlers[each] = signal.signal(each, handle)
    try:
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
