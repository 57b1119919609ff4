"""Calls to a provider, several at once, in threads that never touch the database.

What is called and what is done with the answer comes from outside; this owns how many run, and
that the next begins the moment one ends, whatever the thread that asked for them does.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Ended(Generic[TaskT, ResultT]):
    """`error` is set, or `result`. `answer` tells whether the call itself was answered."""

    task: TaskT
    result: ResultT | None
    error: Exception | None
    answered: bool


class Calls(Generic[TaskT, ResultT]):
    """`call` makes a task's call, `keep` makes the result of its answer. Only the calls count
    for `limit`: while an answer is kept, the next call runs.

    After an error no further call begins; those that run go on.
    """

    def __init__(
        self,
        call: Callable[[TaskT], bytes],
        keep: Callable[[TaskT, bytes], ResultT],
        *,
        most: int,
    ) -> None:
        self.limit = 0
        self._call = call
        self._keep = keep
        self._lock = threading.Lock()
        self._calling = 0
        self._waiting: deque[TaskT] = deque()
        self._stopped = False
        self._ended: queue.SimpleQueue[Ended[TaskT, ResultT]] = queue.SimpleQueue()
        # Twice as many as calls: the other half keeps answers. If that takes longer than the
        # calls, these wait for it.
        self._pool = ThreadPoolExecutor(2 * most, thread_name_prefix="speech")

    @property
    def calling(self) -> int:
        return self._calling

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def add(self, tasks: list[TaskT]) -> None:
        with self._lock:
            self._waiting.extend(tasks)
            self._begin()

    def next_ended(self, *, timeout: float) -> Ended[TaskT, ResultT] | None:
        """One that has ended, or None if there is none within `timeout` seconds."""
        try:
            return self._ended.get(timeout=timeout) if timeout > 0 else self._ended.get_nowait()
        except queue.Empty:
            return None

    def stop(self) -> list[TaskT]:
        """Begin no further call; the tasks that were never begun."""
        with self._lock:
            self._stopped = True
            never_begun = list(self._waiting)
            self._waiting.clear()
        return never_begun

    def close(self) -> None:
        """Wait for what runs."""
        self.stop()
        self._pool.shutdown(wait=True)

    def _begin(self) -> None:
        """With the lock held."""
        while self._waiting and self._calling < self.limit and not self._stopped:
            self._calling += 1
            self._pool.submit(self._run, self._waiting.popleft())

    def _run(self, task: TaskT) -> None:
        answer = error = result = None
        try:
            answer = self._call(task)
        except Exception as raised:  # noqa: BLE001 - raised again by who asked for the call
            error = raised
        with self._lock:
            self._calling -= 1
            self._stopped = self._stopped or error is not None
            self._begin()
        if answer is not None:
            try:
                result = self._keep(task, answer)
            except Exception as raised:  # noqa: BLE001 - as above
                error = raised
                with self._lock:
                    self._stopped = True
        self._ended.put(Ended(task, result, error, answered=answer is not None))
