"""The stepper: the five states of a generation, and where it is among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from generation.models import GenerationJob, StageName
from generation.stages import STAGES
from operations.snapshots import stage_snapshot


class StepView(NamedTuple):
    """`state`: todo, current, waiting, paused, failed, stopped, done, used_again."""

    name: str
    label: str
    state: str
    word: str
    detail: str = ""

    @property
    def is_current(self) -> bool:
        return self.state in ("current", "waiting", "paused", "failed", "stopped")


_WORDS = {
    "todo": "Not yet",
    "current": "Being made",
    "waiting": "On hold",
    "paused": "Paused",
    "failed": "Failed",
    "stopped": "Stopped here",
    "done": "Done",
    "used_again": "Used again",
}
_HERE = {
    "failed": "failed",
    "cancelled": "stopped",
    "paused": "paused",
    "waiting": "waiting",
    "pending": "todo",
}


def stepper(generation: GenerationJob) -> list[StepView]:
    """The five states in order. The first one that isn't done is where it is."""
    used_again = _used_again(generation)
    steps = []
    here_is_known = False
    for stage in STAGES:
        snapshot = stage_snapshot(generation, stage.name)
        state = "todo"
        if snapshot["ended_at"]:
            state = "used_again" if stage.name in used_again else "done"
        elif not here_is_known:
            here_is_known = True
            state = _HERE.get(generation.display_status, "current")
        steps.append(
            StepView(
                stage.name, stage.label, state, _WORDS[state], _detail(generation, state, snapshot)
            )
        )
    is_complete = generation.has_status("COMPLETED")
    state = "done" if is_complete else "todo"
    steps.append(StepView("completed", "Completed", state, _WORDS[state]))
    return steps


def _detail(generation: GenerationJob, state: str, snapshot: Mapping[str, Any]) -> str:
    if state == "failed":
        return generation.error_message
    if state == "waiting":
        return generation.waiting_reason
    if state in ("current", "paused") and snapshot["total"] and snapshot["total"] > 1:
        return f"{snapshot['done']:,} of {snapshot['total']:,}"
    return ""


def _used_again(generation: GenerationJob) -> set[str]:
    """The stages that weren't worked on: what they make was there."""
    names = [stage.name for stage in STAGES]
    if generation.from_stage:
        return set(names[: names.index(generation.from_stage)])
    return {StageName.OUTLINE, StageName.SCRIPT} if generation.base_id else set()
