from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from operations import watching
from operations.models import Event
from operations.stages import Rows, Stage
from tests.operations.toy.models import ToyOperation

STAGES = (
    Stage("small", "Small", Rows.OWN),
    Stage("large", "Large", Rows.OWN),
    Stage("some", "Some", Rows.APART),
    Stage("check", "Check", Rows.AGAIN),
)


def operation(status: str = "in_progress", **progress: dict[str, Any]) -> ToyOperation:
    return ToyOperation(status=status, progress=progress)


def rows(done: int, total: int | None, **fields: Any) -> dict[str, Any]:
    return {"done": done, "total": total, **fields}


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        ({}, None),
        ({"small": rows(10, 10)}, None),
        ({"small": rows(10, 10), "large": rows(5, None)}, None),
        ({"small": rows(10, 10), "large": rows(0, 90)}, 5),
        ({"small": rows(10, 10), "large": rows(90, 90)}, 50),
        ({"small": rows(10, 10), "large": rows(90, 90), "some": rows(7, 7)}, 50),
        ({"small": rows(10, 10), "large": rows(90, 90), "check": rows(50, 100)}, 75),
        # Not more than all, whatever was counted; not all before the end.
        ({"small": rows(20, 10), "large": rows(90, 90)}, 50),
        ({"small": rows(10, 10), "large": rows(90, 90), "check": rows(300, 100)}, 99),
        # Counting took too long: what was done is what there was.
        ({"small": rows(10, 10), "large": rows(90, None, ended_at="2030-01-01")}, 50),
        ({"small": rows(0, 0), "large": rows(0, 0)}, None),
    ],
)
def test_percent_is_rows_done_over_rows_to_do(
    progress: dict[str, Any], expected: int | None
) -> None:
    assert watching.percent(operation(**progress), STAGES) == expected


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        ({}, 0),
        ({"write": rows(1, 1, ended_at="2030-01-01")}, 25),
        ({"write": rows(1, 4)}, 6),
        ({"write": rows(1, 1, ended_at="2030-01-01"), "speak": rows(3, None)}, 25),
        ({"write": rows(0, 0, ended_at="2030-01-01"), "speak": rows(1, 2)}, 62),
        ({"write": rows(9, 4, ended_at="2030-01-01"), "speak": rows(9, 2)}, 99),
    ],
)
def test_percent_of_weighted_stages_is_what_each_has_reached(
    progress: dict[str, Any], expected: int
) -> None:
    stages = (
        Stage("write", "Write", unit="pages", weight=1),
        Stage("speak", "Speak", unit="words", weight=3),
    )
    assert watching.percent(operation(**progress), stages) == expected


def test_percent_of_a_completed_operation_is_a_hundred() -> None:
    assert watching.percent(operation("completed"), STAGES) == 100


def test_current_stage_has_begun_and_not_ended() -> None:
    begun = {"small": rows(1, 1, ended_at="2030-01-01"), "large": rows(1, 2)}
    assert watching.current_stage(operation(**begun), STAGES) == STAGES[1]
    assert watching.current_stage(operation(), STAGES) is None


def test_stage_rows_give_the_rate_of_an_ended_stage_without_its_waiting() -> None:
    began = timezone.now() - dt.timedelta(minutes=10)
    moments = [(began + dt.timedelta(seconds=each)).isoformat() for each in (0, 100, 120)]
    toy = operation(
        small=rows(500, 500, started_at=moments[0], ended_at=moments[1], waited_before=5.0),
        large=rows(1, 1, started_at=moments[1], ended_at=moments[2], waited_before=55.0),
    )
    toy.waited_seconds = 65.0
    small, large, some, _ = watching.stage_rows(toy, STAGES)
    assert (small.per_second, small.left) == (10, "took 1 min 40 s")
    assert (large.has_ended, large.left) == (True, "took 20 s")
    assert (some.has_begun, some.total, some.left) == (False, None, "")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "less than 1 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (7_505, "2 h 5 min"),
        (86_400 * 3 + 4 * 3_600, "3 d 4 h"),
    ],
)
def test_duration_names_the_two_largest_units(seconds: float, words: str) -> None:
    assert watching.duration(seconds) == words


def test_ago_names_the_largest_unit() -> None:
    now = timezone.now()
    assert watching.ago(now) == "just now"
    assert watching.ago(now - dt.timedelta(hours=2, minutes=5)) == "2 h ago"


@pytest.mark.parametrize(
    ("name", "payload", "message"),
    [
        (
            "progress",
            {"done": 4000, "total": 9000, "amount": 1000, "elapsed_ms": 1200},
            "4,000 of 9,000 (+1,000 in 1,200 ms)",
        ),
        ("progress", {"done": 4000, "total": None, "amount": 0, "elapsed_ms": 3}, "4,000"),
        ("feedback", {"message": "blocks copied", "amount": 1}, "Blocks copied: 1 row"),
        ("pause_requested", {"by": "ada"}, "by ada"),
        ("pause_requested", {"by": ""}, ""),
        ("run_requested", {"message": "run 3, load", "by": "ada"}, "Run 3, load, by ada"),
        ("started", {"started_at": "2030-01-01"}, ""),
    ],
)
def test_event_rows_say_what_the_payload_says(
    name: str, payload: dict[str, Any], message: str
) -> None:
    event = Event(kind="toy", name=f"toy.{name}", stage="large", payload=payload)
    (row,) = watching.event_rows([event], STAGES)
    assert (row.name, row.stage, row.message) == (
        name.replace("_", " ").capitalize(),
        "Large",
        message,
    )
