"""From raw measurements of loading to the figures. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Target

BARE, PLAIN, CONVERTERS, BULK_CREATE = "bare", "plain", "converters", "bulk_create"
WAYS = (BARE, PLAIN, CONVERTERS, BULK_CREATE)

TARGETS = {
    "load_converters_vs_bare": Target(1.6, "times", "load with Python converters / bare"),
    "load_plain_vs_bare": Target(1.1, "times", "load in SQL / bare"),
    "load_speedup_over_bulk_create": Target(
        2, "times", "bulk_create / load with Python converters", at_least=True
    ),
    "rss_growth_mb": Target(
        50, "MB", "the loading process's peak resident memory, largest size less smallest"
    ),
}


@dataclass(frozen=True)
class Load:
    """One load of all rows by one way. `peak_rss_mb` is of a process that did nothing else;
    None for the opponents."""

    way: str
    size: int
    run: int
    rows: int
    seconds: float
    peak_rss_mb: float | None = None


def load_figures(loads: Sequence[Load], size: int) -> dict[str, float | None]:
    """The figures for one size; medians over the runs. None: another size is needed."""
    seconds = {
        way: median(each.seconds for each in loads if (each.way, each.size) == (way, size))
        for way in WAYS
    }
    return {
        "load_converters_vs_bare": seconds[CONVERTERS] / seconds[BARE],
        "load_plain_vs_bare": seconds[PLAIN] / seconds[BARE],
        "load_speedup_over_bulk_create": seconds[BULK_CREATE] / seconds[CONVERTERS],
        "rss_growth_mb": _rss_growth(loads),
    }


def _rss_growth(loads: Sequence[Load]) -> float | None:
    sizes = sorted({each.size for each in loads})
    if len(sizes) < 2:
        return None
    return max(
        _peak(loads, way, sizes[-1]) - _peak(loads, way, sizes[0]) for way in (PLAIN, CONVERTERS)
    )


def _peak(loads: Sequence[Load], way: str, size: int) -> float:
    return median(
        each.peak_rss_mb
        for each in loads
        if (each.way, each.size) == (way, size) and each.peak_rss_mb is not None
    )
