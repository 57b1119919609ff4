"""The switch an operator turns a kind of operation off with."""

from __future__ import annotations

from typing import Any

import waffle

from operations.gates.verdict import Wait
from operations.kinds import Kind

WAIT_SECONDS = 30


def feature_flag(kind: Kind[Any]) -> Wait | None:
    """Off means wait, not fail: the switch is expected to be turned on again."""
    if is_on(kind):
        return None
    return Wait(WAIT_SECONDS, f"The switch “{kind.name}” is off.")


def is_on(kind: Kind[Any]) -> bool:
    return bool(waffle.switch_is_active(kind.name))
