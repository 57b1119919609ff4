"""The benchmark as a user runs it, with so few sockets that its figures mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.latency import Latency
from benchmarks.replay import Sent
from benchmarks.sockets import TooFewFiles, allow_open_files
from benchmarks.watchers import p95_ratio
from benchmarks.watching import EventsMissed, Watched, check_order
from tests.benchmarks.running import run_benchmark

SOCKETS, RUNS = 7, 2


@pytest.mark.processes
@pytest.mark.usefixtures("django_db_setup")
def test_benchmark_few_sockets_measures_both_ways_with_the_same_events(tmp_path: Path) -> None:
    report, printed = run_benchmark(
        "watchers",
        tmp_path / "results" / "watchers.json",
        *("--sockets", str(SOCKETS), "--blocks", "1000", "--runs", str(RUNS)),
    )

    measurements = report["measurements"]
    assert [m["way"] for m in measurements] == ["ours", "bare", "bare", "ours"]
    for measurement in measurements:
        assert measurement["events"] > 5
        assert measurement["latency"]["count"] == SOCKETS * measurement["events"]
        assert 0 < measurement["latency"]["p50_ms"] <= measurement["latency"]["p95_ms"]
        assert measurement["web_cpu_seconds"] > 0
    # What the opponent sends is what ours has sent before it.
    assert measurements[0]["events"] == measurements[1]["events"] == measurements[2]["events"]
    assert report["p95_ratio"] > 0
    assert report["met"] is (report["p95_ratio"] <= report["at_most"])
    assert report["channel_layer"]
    assert "saw every event, in order" in printed


def watched(way: str, p95_ms: float) -> Watched:
    return Watched(way, 1, 1, 1.0, Latency.of([p95_ms / 1000]), 30.0, 1.0)


def test_p95_ratio_is_of_the_medians() -> None:
    ours = [watched("ours", p95) for p95 in (10, 20, 500)]
    bare = [watched("bare", p95) for p95 in (40, 1, 90)]
    assert p95_ratio([*ours, *bare]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "arrivals", [[1, 2], [1, 3, 2], [1, 2, 2, 3], []], ids=["lost", "order", "twice", "nothing"]
)
def test_check_order_socket_that_saw_something_else_stops_the_benchmark(
    arrivals: list[int],
) -> None:
    stream = [Sent(0.0, {"sequence": number}) for number in (1, 2, 3)]
    good = [(number, 0.0) for number in (1, 2, 3)]
    check_order([good, good], stream)
    with pytest.raises(EventsMissed):
        check_order([good, [(number, 0.0) for number in arrivals]], stream)


def test_allow_open_files_more_than_the_system_gives_says_so() -> None:
    with pytest.raises(TooFewFiles, match="ulimit -Hn"):
        allow_open_files(10**9)
