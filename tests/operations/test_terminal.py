from __future__ import annotations

import io
from typing import Any

import pytest

from operations.terminal import ProgressView


def stage(name: str, done: int, total: int | None, **more: Any) -> dict[str, Any]:
    return {
        "stage": name,
        "done": done,
        "total": total,
        "started_at": "2026-03-01T12:00:00+00:00",
        "ended_at": None,
        "rows_per_second": None,
        "seconds_left": None,
        **more,
    }


def snapshot(*stages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "sequence": 3,
        "is_active": True,
        "display_status": "in_progress",
        "waiting": None,
        "stages": list(stages),
        **more,
    }


def event(sequence: int, name: str, **payload: Any) -> dict[str, Any]:
    return {
        "sequence": sequence,
        "name": f"toy.{name}",
        "stage": payload.get("stage", ""),
        "payload": payload,
    }


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


def test_view_without_terminal_says_the_end_of_each_stage_in_a_line(out: io.StringIO) -> None:
    with ProgressView(out) as view:
        view.show_snapshot(snapshot(stage("parts", 0, None, started_at=None)))
        view.show_event(event(4, "progress", **stage("parts", 1, 2)))
        view.show_event(event(5, "progress", **stage("parts", 2, 2, rows_per_second=1200)))
        view.show_event(event(6, "progress", **stage("links", 0, 0)))
        view.show_event(event(7, "progress", **stage("blocks", 50, None, seconds_left=70.0)))
    assert out.getvalue().splitlines() == [
        "parts: 2 of 2, 100 %, 1,200 rows/s",
        "links: nothing to do",
        "blocks: 50, 1 min 10 s left",
    ]
    assert view.sequence == 7


def test_view_counts_in_a_stages_own_unit_and_gives_a_single_thing_no_rate(
    out: io.StringIO,
) -> None:
    with ProgressView(out, units={"audio": "segments"}) as view:
        view.show_snapshot(snapshot(stage("audio", 5, 5, rows_per_second=3)))
        view.show_event(event(4, "progress", **stage("upload", 1, 1, rows_per_second=900)))
    assert out.getvalue().splitlines() == [
        "audio: 5 of 5, 100 %, 3 segments/s",
        "upload: 1 of 1, 100 %",
    ]


def test_view_on_a_terminal_draws_bars(out: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(out, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with ProgressView(out) as view:
        view.show_snapshot(snapshot(stage("blocks", 0, None, started_at=None)))
        view.show_event(
            event(4, "progress", **stage("blocks", 500, 1000, rows_per_second=80, seconds_left=6.0))
        )
    assert "━" in out.getvalue()
    assert "500 of 1,000" in out.getvalue()
    assert "80 rows/s, 6 s left" in out.getvalue()


def test_view_says_why_nothing_moves(out: io.StringIO) -> None:
    with ProgressView(out) as view:
        waiting = {"reason": "The database is busy.", "until": "2026-03-01T12:04:00+00:00"}
        view.show_snapshot(snapshot(waiting=waiting))
        view.show_event(event(4, "waiting", message="It waits for a free worker.", until=None))
        view.show_event(event(5, "pause_requested", by="ana"))
        view.show_event(event(6, "paused"))
        view.show_event(event(7, "resumed", by=""))
        view.show_event(event(8, "exception", stage="blocks", message="deadlock"))
    assert out.getvalue().splitlines() == [
        "Waiting (looking again at 12:04:00 UTC): The database is busy.",
        "Waiting: It waits for a free worker.",
        "Pause requested by ana.",
        "Paused.",
        "Resumed.",
        "A step of blocks is tried again: deadlock",
    ]


@pytest.mark.parametrize("name", ["completed", "failed", "cancelled"])
def test_view_final_event_ends_it(out: io.StringIO, name: str) -> None:
    view = ProgressView(out)
    view.show_snapshot(snapshot())
    assert not view.has_ended
    view.show_event(event(4, name))
    assert view.has_ended


def test_view_snapshot_of_an_ended_operation_ends_it(out: io.StringIO) -> None:
    view = ProgressView(out)
    view.show_snapshot(snapshot(is_active=False))
    assert view.has_ended
