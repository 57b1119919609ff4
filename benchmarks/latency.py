"""From single delays to what is compared: percentiles over a run, medians over the runs.

Pure arithmetic; percentiles are the nearest rank's, so each is a delay that was seen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Self


@dataclass(frozen=True)
class Latency:
    """The delays of one run, in milliseconds."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, delays_seconds: Iterable[float]) -> Self:
        """Raises ValueError when there are none."""
        ordered = sorted(delay * 1000 for delay in delays_seconds)
        if not ordered:
            raise ValueError("There are no delays to sum up.")
        return cls(
            count=len(ordered),
            p50_ms=_nearest_rank(ordered, 0.50),
            p95_ms=_nearest_rank(ordered, 0.95),
            p99_ms=_nearest_rank(ordered, 0.99),
            max_ms=ordered[-1],
        )


def median_p95_ms(latencies: Sequence[Latency]) -> float:
    return median(latency.p95_ms for latency in latencies)


def _nearest_rank(ordered: Sequence[float], share: float) -> float:
    return ordered[max(math.ceil(len(ordered) * share), 1) - 1]
