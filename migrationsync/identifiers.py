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
    global _last
    with _lock:
        _last = ticks = max((time.time_ns() << 12) // 1_000_000, _last + 1)
    milliseconds, fraction = divmod(ticks, 1 << 12)
    return uuid.UUID(
        int=milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)
    )
