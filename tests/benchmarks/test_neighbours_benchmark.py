"""The benchmark as a user runs it, on a tree so small that its figures mean nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.latency import Latency
from benchmarks.sharing import Gate
from benchmarks.sharing_figures import Copied, Figures, Worked
from tests.benchmarks.running import run_benchmark


@pytest.mark.processes
@pytest.mark.usefixtures("django_db_setup")
def test_benchmark_small_size_measures_work_and_duplication_alone_and_together(
    tmp_path: Path,
) -> None:
    report, printed = run_benchmark(
        "neighbours",
        tmp_path / "results" / "neighbours.json",
        *("--blocks", "1000", "--neighbour-blocks", "1000", "--runs", "1"),
        *("--alone-seconds", "1", "--per-second", "100", "--share-percent", "50"),
    )

    assert [worked["way"] for worked in report["everyday_work"]] == ["alone", "beside", "gate off"]
    assert [copied["way"] for copied in report["duplications"]] == ["beside", "gate off", "alone"]
    for worked in report["everyday_work"]:
        assert set(worked["by_kind"]) == {"read", "edit", "add"}
        kinds = worked["by_kind"].values()
        assert worked["latency"]["count"] == sum(kind["count"] for kind in kinds)
    # The load is open: it is offered at its rate however long a transaction takes.
    assert report["everyday_work"][0]["latency"]["count"] in range(99, 102)
    for figure in ("p95_ratio", "p95_ratio_gate_off", "duplication_slow_down"):
        assert report[figure] > 0
    assert report["gate"] == {
        "share_percent": 50,
        "step_target_ms": 50,
        "max_active_sessions": 8,
    }
    assert "p95 beside / p95 alone" in printed
    assert "The duplication" in printed


def worked(way: str, p95_ms: float) -> Worked:
    latency = Latency.of([p95_ms / 1000])
    return Worked(way, 1, latency, {"read": latency})


def test_figures_compare_medians_with_those_alone() -> None:
    figures = Figures(
        [worked("alone", 2), worked("alone", 4), worked("alone", 90), worked("beside", 6)],
        [Copied("alone", 1, 10.0, 0.0), Copied("beside", 1, 45.0, 0.0)],
    )
    assert figures.p95_ratio("beside") == pytest.approx(1.5)
    assert figures.slow_down("beside") == pytest.approx(4.5)


def test_gate_is_on_for_workers_started_inside_and_gone_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOAD_MAX_ACTIVE_SESSIONS", "3")
    monkeypatch.delenv("LOAD_SHARE_PERCENT", raising=False)
    with Gate(share_percent=20, step_target_ms=100, max_active_sessions=8).on():
        assert os.environ["LOAD_SHARE_PERCENT"] == "20"
        assert os.environ["LOAD_MAX_ACTIVE_SESSIONS"] == "8"
    assert os.environ["LOAD_MAX_ACTIVE_SESSIONS"] == "3"
    assert "LOAD_SHARE_PERCENT" not in os.environ
