"""What everyday work and a duplication cost each other: pure arithmetic over the runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.latency import Latency, median_p95_ms

# What is measured beside what: nothing, the other with the gate on, the other with it off.
ALONE, BESIDE, UNGATED = "alone", "beside", "gate off"
WAYS = (ALONE, BESIDE, UNGATED)


@dataclass(frozen=True)
class Worked:
    """The everyday work of one run, of all kinds together and of each."""

    way: str
    run: int
    latency: Latency
    by_kind: dict[str, Latency]


@dataclass(frozen=True)
class Copied:
    """The duplication of one run, from its start to its end. `waited_seconds`: how long a gate
    held it up; the rests between its steps are not in there."""

    way: str
    run: int
    seconds: float
    waited_seconds: float


class Figures:
    """Medians over the runs of each way."""

    def __init__(self, worked: Sequence[Worked], copied: Sequence[Copied]) -> None:
        self._worked = worked
        self._copied = copied

    def latencies(self, way: str, kind: str | None = None) -> list[Latency]:
        """Of one kind of transaction, or of all together."""
        return [
            worked.latency if kind is None else worked.by_kind[kind]
            for worked in self._worked
            if worked.way == way
        ]

    def copy_seconds(self, way: str) -> float:
        return median(copied.seconds for copied in self._copied if copied.way == way)

    def p95_ratio(self, way: str) -> float:
        """The everyday work's p95 / that alone."""
        return median_p95_ms(self.latencies(way)) / median_p95_ms(self.latencies(ALONE))

    def slow_down(self, way: str) -> float:
        """The duplication's time / that alone, with the gate off."""
        return self.copy_seconds(way) / self.copy_seconds(ALONE)
