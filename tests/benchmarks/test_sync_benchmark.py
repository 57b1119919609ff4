"""The benchmark as a user runs it, on tables so small that its figures mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.report import verdicts
from benchmarks.sync_figures import (
    BARE,
    BULK_CREATE,
    COMPARISONS,
    CONVERTERS,
    DIFFERENTIAL,
    LOADS,
    PLAIN,
    RELADIFF,
    SOURCE_CHECK,
    SOURCE_SUMS,
    SUMS,
    TARGETS,
    TIMESTAMP,
    UNCHANGED,
    Measured,
    figures,
)
from tests.benchmarks.running import run_benchmark


@pytest.mark.processes
@pytest.mark.usefixtures("django_db_setup")
def test_benchmark_small_tables_measures_every_way_on_the_same_rows(tmp_path: Path) -> None:
    report, printed = run_benchmark(
        "sync",
        tmp_path / "results" / "sync.json",
        *("--sizes", "4000,5000", "--runs", "1", "--without-reladiff"),
    )

    ways = {*LOADS, UNCHANGED, *COMPARISONS} - {RELADIFF}
    found = {(each["way"], each["size"]) for each in report["measured"]}
    assert found == {(way, size) for way in ways for size in (4000, 5000)}
    for size in (4000, 5000):
        loads = [e for e in report["measured"] if e["way"] in LOADS and e["size"] == size]
        assert len({each["rows"] for each in loads}) == 1
    for name in TARGETS:
        assert name in printed
        assert (report[name] is None) == (name == "diff_speedup_over_reladiff")
    assert report["targets"]["diff_speedup_over_reladiff"]["met"] is None
    assert set(report["by_size"]) == {"4000", "5000"}


def measured(way: str, *seconds: float, size: int = 10, mb: float | None = None) -> list[Measured]:
    return [Measured(way, size, run, size, each, mb) for run, each in enumerate(seconds)]


def test_figures_compare_medians_of_one_size() -> None:
    found = figures(
        [
            *measured(BARE, 1, 2, 90),
            *measured(PLAIN, 2, size=10, mb=100),
            *measured(CONVERTERS, 3, size=10, mb=110),
            *measured(CONVERTERS, 99, size=1, mb=90),
            *measured(PLAIN, 99, size=1, mb=90),
            *measured(BULK_CREATE, 12),
            *measured(DIFFERENTIAL, 5, size=10, mb=200),
            *measured(DIFFERENTIAL, 99, size=1, mb=150),
            *measured(SUMS, 4),
            *measured(SOURCE_CHECK, 3),
            *measured(SOURCE_SUMS, 2),
            *measured(TIMESTAMP, 0.1),
            *measured(RELADIFF, 40),
        ],
        10,
    )
    assert found == pytest.approx(
        {
            "load_converters_vs_bare": 1.5,
            "load_plain_vs_bare": 1.0,
            "load_speedup_over_bulk_create": 4,
            "diff_speedup_over_reladiff": 8,
            "diff_vs_bare": 1.25,
            "source_check_vs_bare": 1.5,
            "timestamp_speedup": 50,
            "rss_growth_mb": 50,
        }
    )
    assert [name for name, verdict in verdicts(TARGETS, found).items() if not verdict["met"]] == [
        "source_check_vs_bare"
    ]


def test_way_that_was_not_run_has_no_figure() -> None:
    found = figures(measured(BARE, 1), 10)
    assert set(found.values()) == {None}
    assert {verdict["met"] for verdict in verdicts(TARGETS, found).values()} == {None}
