from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from migrationsync import identifiers
from migrationsync.identifiers import uuid7


def test_uuid7_is_of_version_7_and_begins_with_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7()
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000 + 1


def test_uuid7_grows_over_threads() -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: [uuid7() for _ in range(2000)], range(4)))
    assert len({key for keys in made for key in keys}) == 8000
    assert all(keys == sorted(keys) for keys in made)


def test_uuid7_goes_on_when_the_clock_goes_back(monkeypatch) -> None:
    first = uuid7()
    monkeypatch.setattr(identifiers.time, "time_ns", lambda: 1_000_000_000)
    assert first < uuid7() < uuid7()
