"""From raw measurements of loading and comparing to the figures. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.report import Target

BARE, PLAIN, CONVERTERS, BULK_CREATE = "bare", "plain", "converters", "bulk_create"
LOADS = (BARE, PLAIN, CONVERTERS, BULK_CREATE)

DIFFERENTIAL, UNCHANGED, SUMS, RELADIFF = "differential", "nothing changed", "sums", "reladiff"
SOURCE_CHECK, SOURCE_SUMS, TIMESTAMP = "source check", "source sums", "timestamp"
# In a run each has its turn, so that what the machine does meanwhile hits all alike.
COMPARISONS = (DIFFERENTIAL, SUMS, SOURCE_CHECK, SOURCE_SUMS, TIMESTAMP, RELADIFF)

TARGETS = {
    "load_converters_vs_bare": Target(1.6, "times", "load with Python converters / bare"),
    "load_plain_vs_bare": Target(1.1, "times", "load in SQL / bare"),
    "load_speedup_over_bulk_create": Target(
        2, "times", "bulk_create / load with Python converters", at_least=True
    ),
    "diff_speedup_over_reladiff": Target(
        6, "times", "reladiff through a mapping view / the differential", at_least=True
    ),
    "diff_vs_bare": Target(1.3, "times", "the differential / checksums of both sides, bare SQL"),
    "source_check_vs_bare": Target(
        1.3, "times", "the source against what was stored / the same, bare SQL"
    ),
    "timestamp_speedup": Target(
        20, "times", "the differential / that of an indexed column of times", at_least=True
    ),
    "rss_growth_mb": Target(
        50, "MB", "a process's peak resident memory, largest size less smallest; the worst way's"
    ),
}


@dataclass(frozen=True)
class Measured:
    """One run of one way over a table of about `size` rows. `rows` are what it stored, or what
    was compared. `peak_rss_mb` is of a process that did nothing else; None for the opponents."""

    way: str
    size: int
    run: int
    rows: int
    seconds: float
    peak_rss_mb: float | None = None


def seconds(measured: Sequence[Measured], way: str, size: int) -> float | None:
    """The median over the runs; None: it wasn't run."""
    found = [each.seconds for each in measured if (each.way, each.size) == (way, size)]
    return median(found) if found else None


def figures(measured: Sequence[Measured], size: int) -> dict[str, float | None]:
    """The figures for one size. None: another way, or another size, is needed."""

    def ratio(way: str, other: str) -> float | None:
        one, two = seconds(measured, way, size), seconds(measured, other, size)
        return one / two if one and two else None

    return {
        "load_converters_vs_bare": ratio(CONVERTERS, BARE),
        "load_plain_vs_bare": ratio(PLAIN, BARE),
        "load_speedup_over_bulk_create": ratio(BULK_CREATE, CONVERTERS),
        "diff_speedup_over_reladiff": ratio(RELADIFF, DIFFERENTIAL),
        "diff_vs_bare": ratio(DIFFERENTIAL, SUMS),
        "source_check_vs_bare": ratio(SOURCE_CHECK, SOURCE_SUMS),
        "timestamp_speedup": ratio(DIFFERENTIAL, TIMESTAMP),
        "rss_growth_mb": _rss_growth(measured),
    }


def _rss_growth(measured: Sequence[Measured]) -> float | None:
    sizes = sorted({each.size for each in measured})
    if len(sizes) < 2:
        return None
    return max(
        _peak(measured, way, sizes[-1]) - _peak(measured, way, sizes[0])
        for way in (PLAIN, CONVERTERS, DIFFERENTIAL)
    )


def _peak(measured: Sequence[Measured], way: str, size: int) -> float:
    return median(
        each.peak_rss_mb
        for each in measured
        if (each.way, each.size) == (way, size) and each.peak_rss_mb is not None
    )
