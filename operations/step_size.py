"""How many rows the next step takes. Pure arithmetic, as GitLab's batch optimizer."""

from __future__ import annotations

MAX_GROWTH = 2.0
MAX_SHRINK = 0.5


def next_size(
    size: int, *, rows: int, elapsed_ms: float, target_ms: float, minimum: int, maximum: int
) -> int:
    """The size that would have taken about `target_ms` at the rate just seen.

    A step that was cut short (`rows` below `size`: it reached an end) is mostly overhead
    and says nothing about a full one. One step at most doubles or halves the size: a
    single slow commit doesn't throw a good size away.
    """
    if rows < size or elapsed_ms <= 0:
        return _clamp(size, minimum, maximum)
    ideal = rows / elapsed_ms * target_ms
    bounded = min(max(ideal, size * MAX_SHRINK), size * MAX_GROWTH)
    return _clamp(round(bounded), minimum, maximum)


def halved(size: int, *, minimum: int) -> int:
    """After a deadlock or a time-out: the chunk splits itself, down to `minimum`."""
    return max(size // 2, minimum)


def _clamp(size: int, minimum: int, maximum: int) -> int:
    return min(max(size, minimum), maximum)
