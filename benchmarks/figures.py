"""From raw times to the figures that are compared, and what they should be. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.report import Target
from benchmarks.sources import Source

SMALL, MEDIUM, LARGE = 10_000, 100_000, 1_000_000


@dataclass(frozen=True)
class Timing:
    """What one copy took. Only Encore's own has more than `copy_seconds`.

    `copy_seconds`: from the call that starts it to the end of the last copying job, links
    included. `verification_seconds`: from the first verifying job's start to the last one's
    end. `total_seconds`: to the end of the operation. `waited_seconds`: how much of that a
    gate held it up (a busy database, say). `stage_seconds`: each stage, from its first
    job's start to its last one's end.
    """

    copy_seconds: float
    verification_seconds: float | None = None
    total_seconds: float | None = None
    waited_seconds: float | None = None
    stage_seconds: dict[str, float] | None = None
    worker_peak_rss_mb: float | None = None


@dataclass(frozen=True)
class Measurement:
    """One run of one way of copying."""

    way: str
    source: Source
    run: int
    timing: Timing


TARGETS = {
    "two_lanes_vs_raw": Target(0.7, "times", "copy with two lanes / raw"),
    "one_lane_vs_raw": Target(1.1, "times", "copy with one lane / raw"),
    "speedup_over_fetch_insert": Target(
        5, "times", "fetch and insert / copy with two lanes", at_least=True
    ),
    "speedup_over_django_clone": Target(
        100, "times", "rows/s with two lanes / rows/s of django-clone", at_least=True
    ),
    "verification_vs_raw": Target(0.25, "times", "verification with two workers / raw"),
    "per_block_1m_vs_100k": Target(
        1.3, "times", "time per block with one lane, at 1,000,000 / at 100,000 blocks"
    ),
    "worker_rss_growth_mb": Target(
        30, "MB", "a worker's peak resident memory, at 1,000,000 less at 10,000 blocks"
    ),
}


class Figures:
    """Medians over the runs. Where nothing was measured a figure is None."""

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        self._measurements = measurements

    def ratios(self, source: Source) -> dict[str, float | None]:
        """Every figure that has a target; those over sizes are for the shape of `source`."""
        small, medium, large = (Source(source.shape, blocks) for blocks in (SMALL, MEDIUM, LARGE))
        return {
            **self.at_size(source),
            "per_block_1m_vs_100k": _ratio(
                self._seconds_per_block("one_lane", large),
                self._seconds_per_block("one_lane", medium),
            ),
            "worker_rss_growth_mb": _difference(self._peak_rss_mb(large), self._peak_rss_mb(small)),
        }

    def at_size(self, source: Source) -> dict[str, float | None]:
        """The figures that compare ways on one tree."""
        raw = self.copy_seconds("raw", source)
        two_lanes = self.copy_seconds("two_lanes", source)
        return {
            "two_lanes_vs_raw": _ratio(two_lanes, raw),
            "one_lane_vs_raw": _ratio(self.copy_seconds("one_lane", source), raw),
            "speedup_over_fetch_insert": _ratio(
                self.copy_seconds("fetch_insert", source), two_lanes
            ),
            "speedup_over_django_clone": _ratio(
                self._rows_per_second("two_lanes", source), self._rows_per_second("django_clone")
            ),
            "verification_vs_raw": _ratio(self.verification_seconds("two_lanes", source), raw),
        }

    def runs(self, way: str, source: Source) -> int:
        return len(self._of(way, source))

    def copy_seconds(self, way: str, source: Source) -> float | None:
        return _median(m.timing.copy_seconds for m in self._of(way, source))

    def total_seconds(self, way: str, source: Source) -> float | None:
        return _median(m.timing.total_seconds for m in self._of(way, source))

    def verification_seconds(self, way: str, source: Source) -> float | None:
        return _median(m.timing.verification_seconds for m in self._of(way, source))

    def _rows_per_second(self, way: str, source: Source | None = None) -> float | None:
        """Without a source: over whatever the way was measured on."""
        return _median(m.source.rows / m.timing.copy_seconds for m in self._of(way, source))

    def _seconds_per_block(self, way: str, source: Source) -> float | None:
        return _ratio(self.copy_seconds(way, source), source.blocks)

    def _peak_rss_mb(self, source: Source) -> float | None:
        return _median(m.timing.worker_peak_rss_mb for m in self._of(None, source))

    def _of(self, way: str | None, source: Source | None) -> list[Measurement]:
        return [
            m for m in self._measurements if way in (None, m.way) and source in (None, m.source)
        ]


def _median(values: Iterable[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return median(numbers) if numbers else None


def _ratio(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else value / base


def _difference(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else value - base
