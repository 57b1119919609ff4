"""The media files an episode's blocks name, and how large they are in storage.

Names come from the database in bounded walks. Sizes come from the storage, which may be
far away or not answer at all: threads ask it, and nobody waits for them past the time.
"""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass, field

from django.core.exceptions import SuspiciousFileOperation
from django.core.files.storage import default_storage

from content.models import Episode
from duplication.levels import BLOCKS
from duplication.preview.counting import Clock, Count, descent_sql, read_rows

logger = logging.getLogger("duplication")

MAX_FILES = 100_000
MAX_EXAMPLES = 5
THREADS = 8
# Threads that wait for a storage that doesn't answer must not pile up with each preview.
_free_threads = threading.BoundedSemaphore(2 * THREADS)

_MEDIA = f"{BLOCKS.table}.media"


@dataclass(frozen=True)
class Media:
    """Distinct files, and the bytes of those in storage. `unreadable` are those whose size
    could not be asked for; `error` says why the first one couldn't."""

    files: Count = field(default_factory=Count)
    bytes: Count = field(default_factory=Count)
    missing: Count = field(default_factory=Count)
    missing_examples: tuple[str, ...] = ()
    unreadable: int = 0
    error: str = ""


def find_media(episode: Episode, clock: Clock) -> Media:
    names, exact = _names(episode, clock.part(0.5))
    return _measure(names, exact, clock)


def _names(episode: Episode, clock: Clock) -> tuple[list[str], bool]:
    """Distinct names in the order of the tree, and whether they are all."""
    names: dict[str, None] = {}

    def add(rows: list[tuple[str]]) -> bool:
        names.update(dict.fromkeys(name for (name,) in rows))
        return len(names) < MAX_FILES

    exact = read_rows(media_sql(), episode, clock, add)
    return list(names)[:MAX_FILES], exact


def media_sql() -> str:
    return f"{descent_sql(BLOCKS, _MEDIA)} AND {_MEDIA} <> ''"


def _measure(names: list[str], exact: bool, clock: Clock) -> Media:
    asked = _Asked(names)
    asked.answer(clock)
    all_asked = exact and len(asked.sizes) + len(asked.missing) == len(names)
    return Media(
        files=Count(len(names), exact),
        bytes=Count(sum(asked.sizes), all_asked),
        missing=Count(len(asked.missing), all_asked),
        missing_examples=tuple(sorted(asked.missing)[:MAX_EXAMPLES]),
        unreadable=asked.unreadable,
        error=asked.error,
    )


class _Asked:
    """The storage's answers up to the end of the time, in whatever order they come."""

    def __init__(self, names: list[str]) -> None:
        self.sizes: list[int] = []
        self.missing: list[str] = []
        self.unreadable = 0
        self.error = ""
        self._expected = len(names)
        self._names: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[str, int | Exception]] = queue.SimpleQueue()
        self._over = threading.Event()
        for name in names:
            self._names.put(name)

    def answer(self, clock: Clock) -> None:
        if not self._start_threads():
            return
        try:
            for _ in range(self._expected):
                self._take(*self._answers.get(timeout=clock.left or 0.001))
        except queue.Empty:
            pass  # the time is over: what came is what is told
        finally:
            self._over.set()

    def _start_threads(self) -> int:
        started = 0
        while started < min(THREADS, self._expected) and _free_threads.acquire(blocking=False):
            threading.Thread(target=self._ask, name="media-size", daemon=True).start()
            started += 1
        return started

    def _ask(self) -> None:
        try:
            while not self._over.is_set():
                name = self._names.get_nowait()
                self._answers.put((name, _size(name)))
        except queue.Empty:
            pass
        finally:
            _free_threads.release()

    def _take(self, name: str, answer: int | Exception) -> None:
        if isinstance(answer, int):
            self.sizes.append(answer)
        elif isinstance(answer, FileNotFoundError):
            self.missing.append(name)
        else:
            logger.warning("The size of a file could not be read: %s", answer)
            self.unreadable += 1
            self.error = self.error or f"{name}: {answer}"


def _size(name: str) -> int | Exception:
    try:
        return int(default_storage.size(name))
    except SuspiciousFileOperation as error:  # a name that leads out of the storage
        return FileNotFoundError(str(error))
    except Exception as error:  # noqa: BLE001 - each storage has its own; it is told, not hidden
        return error
