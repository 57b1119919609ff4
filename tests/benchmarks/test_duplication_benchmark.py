"""The benchmark as a user runs it, on a tree so small that its figures mean nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from benchmarks.figures import TARGETS, Figures, Measurement, Timing
from benchmarks.sources import Source
from tests.processes import database_url, wait_until

RATIOS = {
    "two_lanes_vs_raw",
    "one_lane_vs_raw",
    "speedup_over_fetch_insert",
    "speedup_over_django_clone",
    "verification_vs_raw",
    "per_block_1m_vs_100k",
    "worker_rss_growth_mb",
}
NEED_OTHER_SIZES = {"per_block_1m_vs_100k", "worker_rss_growth_mb"}
DEADLINE_SECONDS = 120


def start_benchmark(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.duplication", *arguments],
        cwd=settings.BASE_DIR,
        env={
            **os.environ,
            "DATABASE_URL": database_url(),
            "DJANGO_SETTINGS_MODULE": "config.settings.base",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def benchmark_databases() -> set[str]:
    """The running test's benchmark databases that are there."""
    with psycopg.connect(database_url()) as server:
        rows = server.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)",
            [f"{connection.settings_dict['NAME']}_benchmark"],
        ).fetchall()
    return {name for (name,) in rows}


@pytest.mark.processes
@pytest.mark.usefixtures("django_db_setup")
def test_benchmark_small_size_writes_times_and_ratios(tmp_path: Path) -> None:
    output = tmp_path / "results" / "duplication.json"
    arguments = ["--sizes", "1000", "--shapes", "balanced", "--runs", "1"]
    process = start_benchmark(*arguments, "--output", str(output))
    try:
        printed, _ = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0, printed

    report: dict[str, Any] = json.loads(output.read_text())
    assert set(report["ratios"]) == RATIOS
    assert {name for name, value in report["ratios"].items() if value is None} == NEED_OTHER_SIZES
    assert report["ratios_for"] == {"shape": "balanced", "blocks": 1_000}
    assert report["machine"]["cores"] == os.cpu_count()
    assert report["machine"]["postgresql_settings"]["fsync"] in ("on", "off")
    ways = {m["way"] for m in report["measurements"]}
    assert ways == {"raw", "one_lane", "two_lanes", "fetch_insert", "django_clone"}
    for measurement in report["measurements"]:
        assert measurement["copy_seconds"] > 0
    for measurement in report["measurements"]:
        if measurement["way"] in ("one_lane", "two_lanes"):
            assert measurement["worker_peak_rss_mb"] > 1
            assert 0 < measurement["copy_seconds"] < measurement["total_seconds"]
            assert set(measurement["stage_seconds"]) >= {"episode", "blocks", "links", "verify"}
    assert all(name in printed for name in RATIOS)
    assert benchmark_databases() == set()


@pytest.mark.processes
@pytest.mark.usefixtures("django_db_setup")
def test_benchmark_interrupted_leaves_no_database(tmp_path: Path) -> None:
    output = tmp_path / "duplication.json"
    process = start_benchmark("--sizes", "1000", "--output", str(output))
    try:
        wait_until(lambda: len(benchmark_databases()) == 2, "both databases are there")
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=DEADLINE_SECONDS)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.SIGINT, printed
    assert benchmark_databases() == set()
    assert not output.exists()


def measured(way: str, blocks: int, seconds: float, **more: float) -> Measurement:
    return Measurement(way, Source("balanced", blocks), run=1, timing=Timing(seconds, **more))


def test_ratios_three_sizes_measured_compare_medians_and_sizes() -> None:
    memory = [
        measured("one_lane", 10_000, 1, worker_peak_rss_mb=60),
        measured("one_lane", 100_000, 2),
    ]
    large = [
        *(measured("raw", 1_000_000, seconds) for seconds in (10, 20, 90)),
        measured("one_lane", 1_000_000, 22, verification_seconds=9, worker_peak_rss_mb=75),
        measured("two_lanes", 1_000_000, 15, verification_seconds=5),
        measured("fetch_insert", 1_000_000, 150),
        Measurement("django_clone", Source("balanced", 2_000), 1, Timing(2)),
    ]

    ratios = Figures([*memory, *large]).ratios(Source("balanced", 1_000_000))

    rates = (1_010_011 / 15) / (2_031 / 2)
    assert ratios == pytest.approx(
        {
            "two_lanes_vs_raw": 0.75,
            "one_lane_vs_raw": 1.1,
            "speedup_over_fetch_insert": 10,
            "speedup_over_django_clone": rates,
            "verification_vs_raw": 0.25,
            "per_block_1m_vs_100k": 1.1,
            "worker_rss_growth_mb": 15,
        }
    )


@pytest.mark.parametrize(
    ("name", "value", "met"),
    [
        ("two_lanes_vs_raw", 0.7, True),
        ("two_lanes_vs_raw", 0.71, False),
        ("speedup_over_fetch_insert", 5.0, True),
        ("speedup_over_fetch_insert", 4.9, False),
    ],
)
def test_target_value_at_and_past_its_limit_is_judged(name: str, value: float, met: bool) -> None:
    assert TARGETS[name].is_met(value) is met
