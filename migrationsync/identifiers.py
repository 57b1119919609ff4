"""Keys in the order of time: UUIDs of version 7 (RFC 9562, section 5.7).

A primary key's index grows at its end only, where random keys touch it everywhere. Python
has `uuid.uuid7` from 3.14 on.
"""

from __future__ import annotations

import secrets
import threading
import time
import uuid

_lock = threading.Lock()
_last = 0


def uuid7() -> uuid.UUID:
    """A new key, greater than every one that this process made before.

    After the milliseconds come 12 bits of their fraction (the RFC's method 3), then 62 random
    bits. Where the clock stands still or goes back, the fraction is counted on.
    """
    milliseconds, fraction = divmod(_taken(1), 1 << 12)
    return uuid.UUID(
        int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)
    )


def uuid7_texts(number: int) -> list[str]:
    """So many new keys, each greater than the one before it, as 32 hexadecimal digits."""
    first = _taken(number)
    randoms = memoryview(secrets.token_bytes(8 * number)).cast("Q")
    return [
        f"{ticks >> 12:012x}7{ticks & 0xFFF:03x}{random >> 2 | 1 << 63:016x}"
        for ticks, random in enumerate(randoms, first)
    ]


def _taken(number: int) -> int:
    """The first of so many ticks, 4096 to a millisecond, that nobody else has."""
    global _last
    with _lock:
        first = max((time.time_ns() << 12) // 1_000_000, _last + 1)
        _last = first + number - 1
    return first
