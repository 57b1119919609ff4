"""From raw measurements of generations to the figures. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.report import Target

TARGETS = {
    "pipeline_overhead": Target(1.05, "times", "a generation / the same calls, bare"),
    "cached_speedup": Target(
        20, "times", "a generation / the same one from a full cache", at_least=True
    ),
    "rss_growth_mb": Target(50, "MB", "a worker's peak resident memory, many segments less few"),
    "stuck": Target(0, "generations", "of those at once: not ended in time"),
    "failed": Target(0, "generations", "of those at once"),
    "paid_twice": Target(0, "calls", "beyond one for each different text"),
}


@dataclass(frozen=True)
class Generated:
    """One generation, by workers: from the call that starts it to its end. `stage_seconds` are
    from a stage's first step to its end, hand-overs between stages left out."""

    way: str
    run: int
    segments: int
    seconds: float
    waited_seconds: float
    stage_seconds: dict[str, float]
    worker_peak_rss_mb: float


@dataclass(frozen=True)
class Bare:
    run: int
    calls: int
    seconds: float


@dataclass(frozen=True)
class Crowd:
    """Episodes that were generated at once. `calls` were answered with a sound, for `texts`
    different ones; `turned_away` got a 429 or a 500."""

    episodes: int
    seconds: float
    stuck: int
    failed: int
    texts: int
    calls: int
    turned_away: int
    paid_twice: int
    segments: int


FIRST, CACHED, FEW, MANY = "first", "from the cache", "few segments", "many segments"


def figures(generated: Sequence[Generated], bare: Sequence[Bare], crowd: Crowd) -> dict[str, float]:
    """Every figure that has a target; times and memory are medians over the runs."""
    first = _seconds(generated, FIRST)
    return {
        "pipeline_overhead": first / median(each.seconds for each in bare),
        "cached_speedup": first / _seconds(generated, CACHED),
        "rss_growth_mb": _rss(generated, MANY) - _rss(generated, FEW),
        "stuck": crowd.stuck,
        "failed": crowd.failed,
        "paid_twice": crowd.paid_twice,
    }


def _seconds(generated: Sequence[Generated], way: str) -> float:
    return median(each.seconds for each in generated if each.way == way)


def _rss(generated: Sequence[Generated], way: str) -> float:
    return median(each.worker_peak_rss_mb for each in generated if each.way == way)
