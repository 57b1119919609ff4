"""The two sides at once: one is asked in a thread of its own while the other is asked here."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import DEFAULT_DB_ALIAS, connections

S = TypeVar("S")
T = TypeVar("T")


class Beside:
    """A thread beside the caller's, with a connection of its own to the source.

    It comes with the first use and stays until `close`, after which it may come again. A source
    that is the target's own database is asked here, one after the other: what this thread's
    transaction holds another wouldn't see.
    """

    def __init__(self, alias: str) -> None:
        self._is_apart = alias != DEFAULT_DB_ALIAS
        self._thread: ThreadPoolExecutor | None = None

    def both(self, there: Callable[[], S], here: Callable[[], T]) -> tuple[S, T]:
        """What the two answer, or the error of one of them, when both have ended."""
        if not self._is_apart:
            return there(), here()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="beside")
        answer = self._thread.submit(there)
        try:
            found = here()
        finally:
            # Not left running: the next question would wait for it.
            answer.exception()
        return answer.result(), found

    def close(self) -> None:
        if self._thread is not None:
            self._thread.submit(connections.close_all).result()
            self._thread.shutdown()
            self._thread = None
