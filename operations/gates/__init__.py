"""Gates: each looks at one thing before a step and says proceed, or wait and why.

`first_wait` asks them in order and returns the first wait. Pause and cancel requests are
not here: they end the run rather than delay it (see runner).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from operations.gates.feature_flag import feature_flag
from operations.gates.load import database_load
from operations.gates.throttle import exception_throttle
from operations.gates.verdict import Wait
from operations.kinds import Kind

Gate = Callable[[Kind[Any]], Wait | None]

BEFORE_EACH_STEP: tuple[Gate, ...] = (feature_flag, exception_throttle, database_load)


def first_wait(kind: Kind[Any], gates: tuple[Gate, ...] = BEFORE_EACH_STEP) -> Wait | None:
    for gate in gates:
        if wait := gate(kind):
            return wait
    return None


__all__ = ["BEFORE_EACH_STEP", "Wait", "first_wait"]
