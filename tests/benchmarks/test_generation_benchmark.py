"""The benchmark as a user runs it, on episodes so short that its figures mean nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks.generation_figures import CACHED, FEW, FIRST, MANY, Bare, Crowd, Generated, figures
from benchmarks.speaking import Said, Stub, calls
from tests.benchmarks.running import run_benchmark

FIGURES = ("pipeline_overhead", "cached_speedup", "rss_growth_mb")
SHARED, OWN = 3, 7


@pytest.mark.processes
@pytest.mark.usefixtures("django_db_setup")
def test_benchmark_few_segments_measures_every_way_and_nothing_is_paid_twice(
    tmp_path: Path,
) -> None:
    report, printed = run_benchmark(
        "generation",
        tmp_path / "results" / "generation.json",
        *("--segments", "4", "--few-segments", "2", "--many-segments", "6"),
        *("--delay-ms", "10", "--episodes", "3", "--runs", "1"),
    )

    found = {(each["way"], each["segments"]) for each in report["generations"]}
    assert found == {(FIRST, 4), (CACHED, 4), (FEW, 2), (MANY, 6)}
    assert [each["calls"] for each in report["bare"]] == [4]
    for each in report["generations"]:
        assert set(each["stage_seconds"]) == {"outline", "script", "audio", "upload"}
        assert each["seconds"] > 0
        assert each["worker_peak_rss_mb"] > 1
    assert report["pipeline_overhead"] > 1
    assert report["cached_speedup"] > 0
    assert (report["stuck"], report["failed"], report["paid_twice"]) == (0, 0, 0)
    crowd = report["at_once"]
    assert crowd["segments"] == 3 * (SHARED + OWN)
    assert crowd["calls"] == crowd["texts"] == SHARED + 3 * OWN
    paid_twice = report["targets"]["paid_twice"]
    assert (paid_twice["at_most"], paid_twice["met"]) == (0, True)
    assert all(name in printed for name in FIGURES)


def generated(way: str, seconds: float, mb: float = 100.0) -> Generated:
    return Generated(way, 1, 10, seconds, 0.0, {}, mb)


def test_figures_compare_medians() -> None:
    found = figures(
        [
            *(generated(FIRST, seconds) for seconds in (21, 90, 20)),
            *(generated(CACHED, seconds) for seconds in (0.5, 1, 7)),
            *(generated(FEW, 1, mb) for mb in (80, 90, 100)),
            *(generated(MANY, 9, mb) for mb in (100, 130, 300)),
        ],
        [Bare(1, 10, seconds) for seconds in (20, 10, 90)],
        Crowd(
            50, 60.0, stuck=1, failed=2, texts=9, calls=12, turned_away=4, paid_twice=3, segments=20
        ),
    )
    assert found == pytest.approx(
        {
            "pipeline_overhead": 21 / 20,
            "cached_speedup": 21,
            "rss_growth_mb": 40,
            "stuck": 1,
            "failed": 2,
            "paid_twice": 3,
        }
    )


def test_calls_are_counted_by_text_and_voice(tmp_path: Path) -> None:
    lines = [
        {"what": what, "text": text, "voice": voice}
        for what, text, voice in [
            ("begun", "One.", "alto"),
            ("said", "One.", "alto"),
            ("said", "One.", "alto"),
            ("said", "One.", "bass"),
            ("busy", "Two.", "alto"),
        ]
    ]
    log = tmp_path / "calls.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert calls(log, "said") == {Said("One.", "alto"): 2, Said("One.", "bass"): 1}
    assert calls(log, "busy") == {Said("Two.", "alto"): 1}


def test_stub_is_told_inside_and_as_it_was_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_SPEECH_DELAY_SECONDS", "7")
    monkeypatch.delenv("STUB_SPEECH_BUSY_SHARE", raising=False)
    with Stub(delay_seconds=0.5, busy_share=0.1).told():
        assert os.environ["STUB_SPEECH_DELAY_SECONDS"] == "0.5"
        assert os.environ["STUB_SPEECH_BUSY_SHARE"] == "0.1"
    assert os.environ["STUB_SPEECH_DELAY_SECONDS"] == "7"
    assert "STUB_SPEECH_BUSY_SHARE" not in os.environ
